"""Overlays merge as Snakemake merges them; what cannot be read or is missing is an error that names it."""

from __future__ import annotations

import copy
import importlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.utils import update_config

from mammoflow.config.base import overlay, validate_settings
from mammoflow.config.cohort import READERS
from mammoflow.config.reading import read_config
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError, WeightsError
from mammoflow.planning.preflight import check_files, has_pathology

values = st.none() | st.integers() | st.lists(st.integers(), max_size=3)
mappings = st.recursive(
    st.dictionaries(st.sampled_from("abc"), values, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), values | inner, max_size=3),
    max_leaves=8,
)


@given(below=mappings, above=mappings)
@settings(max_examples=200, deadline=None)
def test_overlays_merge_as_in_snakemake(below: dict[str, object], above: dict[str, object]) -> None:
    expected = copy.deepcopy(below)
    update_config(expected, above)
    assert overlay(below, above) == expected


def test_null_and_lists_replace(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("images: {patch_spacing_mm: 0.1}\nprompts: {margins_mm: [0.0, 10.0]}", encoding="utf-8")
    second.write_text("images: {patch_spacing_mm: null}\nprompts: {margins_mm: [10.0]}", encoding="utf-8")
    config = read_config([first, second])
    assert config.images.patch_spacing_mm is None
    assert config.prompts.margins_mm == [10.0]


@pytest.mark.parametrize(("text", "message"), [("- a", "expected a mapping"), ("a: [", "cannot be read as YAML")])
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_config([file])


def named(**values: object) -> list[str]:
    """Return the names of the data sets of a configuration."""
    config = validate_settings(StudyConfig, values, "the test")
    return [dataset.name for dataset in config.cohort.datasets]


def test_a_study_without_a_name_takes_that_of_the_run() -> None:
    mine = {"reader": "table", "folder": "data/clinic", "tables": ["cases.csv"]}
    assert named(run="pilot", cohort={"dataset": mine}) == ["pilot"]
    assert named(run="pilot", cohort={"dataset": {**mine, "name": "phantom"}}) == ["pilot"]
    assert named(run="pilot", cohort={"dataset": {**mine, "name": "Clinic"}}) == ["Clinic"]
    assert named(cohort={"dataset": mine}) == ["clinic"]
    two = {"dataset": mine, "more_datasets": [{**mine, "folder": "b"}, {**mine, "folder": "c", "name": "C"}]}
    assert named(run="pilot", cohort=two) == ["pilot", "pilot-2", "C"]
    assert named(run="pilot") == ["phantom"]
    assert named(run="pilot", cohort={"shards": 3}) == ["phantom"]


def test_a_number_that_yaml_reads_as_text(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("classification: {classifiers: {perceptron_frozen: {learning_rate: 1e-4}}}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"learning_rate: found '1e-4'.*1\.0e-4"):
        read_config([file])


def test_missing_weights_name_file_checksum_and_command(tmp_path: Path) -> None:
    segmentation = {"run": ["small", "sam_vit_b"], "models": {"sam_vit_b": {"weights": str(tmp_path / "sam.pth")}}}
    config = validate_settings(StudyConfig, {"segmentation": segmentation}, "test")
    with pytest.raises(WeightsError, match=r"sam\.pth.*sha256:ec2df.*mammoflow weights fetch sam_vit_b"):
        check_files(config)
    (tmp_path / "sam.pth").write_bytes(b"weights")
    check_files(config)


def test_missing_weights_of_a_classifier(tmp_path: Path) -> None:
    entry = {"weights": str(tmp_path / "b0.pth")}
    name = "efficientnet_whole_image"
    values = {"classification": {"run": [name], "classifiers": {name: entry}}}
    expected = r"classification\.classifiers\.efficientnet_whole_image\.weights: found .*b0\.pth.*EfficientNet-B0"
    with pytest.raises(ConfigError, match=expected):
        check_files(validate_settings(StudyConfig, values, "test"))
    (tmp_path / "b0.pth").write_bytes(b"weights")
    check_files(validate_settings(StudyConfig, values, "test"))
    (tmp_path / "b0.pth").unlink()
    values["classification"]["run"] = ["perceptron_frozen"]
    check_files(validate_settings(StudyConfig, values, "test"))


@pytest.mark.parametrize("reader", [name for name in READERS.names() if name != "phantom"])
def test_a_study_without_biopsies_needs_its_convention(reader: str, tmp_path: Path) -> None:
    module = importlib.import_module(f"mammoflow.cohort.readers.{reader.replace('-', '_')}")
    assert has_pathology(reader) == module.StudyReader.has_pathology
    (tmp_path / "cases.csv").touch()
    dataset = {"reader": reader, "folder": str(tmp_path), "name": "mine", "tables": ["cases.csv"]}
    cohort = {"dataset": dataset, "more_datasets": [dataset | {"name": "other", "folder": str(tmp_path.parent)}]}
    (tmp_path.parent / "cases.csv").touch()
    config = validate_settings(StudyConfig, {"cohort": cohort}, "test")
    if module.StudyReader.has_pathology:
        check_files(config)
        return
    expected = rf"cohort\.dataset\.malignant_from_birads: found null.*{reader}.*usually to 4"
    with pytest.raises(ConfigError, match=expected):
        check_files(config)
    dataset["malignant_from_birads"] = 4
    with pytest.raises(ConfigError, match=r"cohort\.more_datasets\.0\.malignant_from_birads"):
        check_files(validate_settings(StudyConfig, {"cohort": cohort}, "test"))


def test_readers_with_and_without_biopsies_are_told_apart() -> None:
    assert not has_pathology("inbreast")
    assert not has_pathology("vindr-mammo")
    assert has_pathology("cbis-ddsm")
