"""The job that applies a trained classifier reads the files of the run that trained it, and that run must fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.classification import ClassifierSettings
from mammoflow.config.documentation import settings_text
from mammoflow.config.images import ImagesSettings
from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.prompts import PromptSettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError
from mammoflow.planning.classifiers import classifier_inputs, classifier_modules
from mammoflow.planning.from_run import check_run, trained_option
from mammoflow.planning.preflight import check_files
from mammoflow.storage.files import write_text

CROP = {"input": "context_crop", "network": "efficientnet_lite0", "weights": "published", "seeds": [0, 7]}


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A finished run with two classifiers, one of which sees masks."""
    run = tmp_path / "other"
    for name, values in {"crop": {**CROP, "input_options": {"centre": "box"}}, "masked": CROP}.items():
        settings = validate_settings(ClassifierSettings, values, "test").model_dump(mode="json")
        folder = run / "classification" / name
        record = {"settings": settings, "seeds": {"0": {}, "7": {}}}
        write_text(folder / "training.json", json.dumps(record))
        for seed in ("0", "7"):
            for file in ("model.safetensors", "record.json"):
                write_text(folder / "seeds" / seed / file, "{}")
    write_text(run / "settings" / "images.yaml", settings_text(ImagesSettings()))
    write_text(run / "settings" / "prompts.yaml", settings_text(PromptSettings()))
    return run


def applied(other: Path, **values: Any) -> StudyConfig:
    changed = {"cohort": {"split": {"method": "apply"}}, "classification": {"from_run": str(other)}, **values}
    return validate_settings(StudyConfig, changed, "test")


def test_the_job_reads_record_and_weights_of_each_seed_and_no_first_weights(other: Path) -> None:
    inputs = classifier_inputs(applied(other), "crop")
    folder = other / "classification" / "crop"
    seeds = [folder / "seeds" / seed / file for seed in ("0", "7") for file in ("model.safetensors", "record.json")]
    assert inputs["trained"] == [str(file) for file in (folder / "training.json", *seeds)]
    assert inputs["weights"] == []
    assert trained_option(applied(other), "crop") == ["--trained", str(folder)]
    assert classifier_inputs(applied(other), "masked")["masks"]
    assert classifier_inputs(StudyConfig(), "context_crop")["trained"] == []
    assert trained_option(StudyConfig(), "context_crop") == []


def test_its_code_is_that_of_applying_and_not_of_training(other: Path) -> None:
    modules = classifier_modules(applied(other), "crop")
    assert "mammoflow.classification.applied" in modules
    assert not [module for module in modules if "trainers" in module or module.endswith("classification.stage")]


def test_a_run_that_fits_passes(other: Path) -> None:
    check_files(applied(other))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"images": {"longest_side_px": 512}}, r"images.longest_side_px: found 512, but .*trained with 1024"),
        ({"images": {"patch_mm": 120.0}}, r"images.patch_mm: found 120.0"),
        ({"images": {"patch_spacing_mm": 0.1}}, r"images.patch_spacing_mm: .* set images.patch_spacing_mm to null"),
        ({"images": {"breast_region": "whole"}}, r"images.breast_region: found 'whole'"),
        ({"prompts": {"default_margin_mm": 5.0}}, r"prompts.default_margin_mm: found 5.0"),
    ],
)
def test_other_pictures_than_in_training_are_refused(other: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_run(applied(other, **changed))


@pytest.mark.parametrize(("center", "width", "key"), [(-600.0, 400.0, "window_center"), (40.0, 1500.0, "window_width")])
def test_another_window_than_in_training_is_refused(other: Path, center: float, width: float, key: str) -> None:
    trained = ImagesSettings(voi="fixed", window_center=40.0, window_width=400.0)
    write_text(other / "settings" / "images.yaml", settings_text(trained))
    check_run(applied(other, images={"voi": "fixed", "window_center": 40.0, "window_width": 400.0}))
    found = center if key == "window_center" else width
    with pytest.raises(ConfigError, match=rf"images.{key}: found {found}, but .*set images.{key} to"):
        check_run(applied(other, images={"voi": "fixed", "window_center": center, "window_width": width}))


def test_models_that_see_colours_where_those_of_the_training_saw_none_are_refused(other: Path) -> None:
    write_text(other / "settings" / "segmentation" / "mine.yaml", settings_text(SegmentSettings(colour="rgb")))
    with pytest.raises(ConfigError, match=r"segmentation.colour: found 'grey', but .* set segmentation.colour to rgb"):
        check_run(applied(other))
    check_run(applied(other, classification={"from_run": str(other), "run": ["crop"]}))  # it sees no masks
    in_colour = {"run": ["lite_medsam"], "default_model": "lite_medsam", "colour": "rgb"}
    check_run(applied(other, images={"colour": "keep"}, segmentation=in_colour))


def test_what_follows_from_the_files_of_a_study_may_differ(other: Path) -> None:
    check_run(applied(other, images={"mask_value": "1", "breast_side": "any", "largest_mask_share": 0.9}))
    named = {"from_run": str(other), "run": ["crop"]}
    check_run(applied(other, classification=named, prompts={"default_margin_mm": 5.0}))


def test_an_incomplete_run_and_the_run_itself_are_refused(other: Path) -> None:
    with pytest.raises(ConfigError, match="which is the folder of this run"):
        check_run(applied(other, results=str(other.parent), run="other"))
    (other / "classification" / "crop" / "seeds" / "7" / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"seeds/7/model.safetensors does not exist; expected a finished run"):
        check_run(applied(other))


def test_a_copy_without_settings_is_refused(other: Path) -> None:
    for file in (other / "settings").glob("*"):
        file.unlink()
    (other / "settings").rmdir()
    with pytest.raises(ConfigError, match="has no folder settings"):
        check_run(applied(other))
