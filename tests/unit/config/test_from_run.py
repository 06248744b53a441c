"""The settings of classifiers that a finished run trained come from its records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.classification import ClassifierSettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError

SEARCH = {"s": {"classifier": "context_crop", "space": {"epochs": [1]}}}
APPLY = {"split": {"method": "apply"}}
CROP = {"input": "context_crop", "network": "resnet_small", "device": "cuda", "seeds": [3, 4], "keep": "best_auc"}


def add(run: Path, name: str, settings: dict[str, Any], **changes: Any) -> None:
    """Write the record of a trained classifier."""
    values = validate_settings(ClassifierSettings, settings, "test").model_dump(mode="json")
    file = run / "classification" / name / "training.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"settings": values, "seeds": {"3": {}, "4": {}}, **changes}), encoding="utf-8")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    run = tmp_path / "other"
    add(run, "crop", CROP)
    add(run, "second", {**CROP, "seeds": [0]})
    add(run, "with_features", {**CROP, "vectors": ["radiomics"]})
    add(run, "with_density", {**CROP, "covariates": ["density"]})
    add(run, "borrowed", CROP, trained_elsewhere={"run": "third", "folder": "results/third"})
    return run


def config(classification: dict[str, Any], **values: Any) -> StudyConfig:
    return validate_settings(StudyConfig, {"cohort": APPLY, "classification": classification, **values}, "test")


def test_the_default_list_takes_all_that_can_be_applied_as_they_were_trained(other: Path) -> None:
    found = config({"from_run": str(other)}).classification
    assert found.run == ["crop", "second"]
    assert found.classifiers["crop"].seeds == [3, 4]
    assert found.classifiers["crop"].network == "resnet_small"
    assert found.classifiers["crop"].device == "auto", "the machine of the training does not count"
    assert found.needed() == []
    assert found.validation_classes == 0


def test_classifiers_of_a_run_keep_equal_titles(other: Path) -> None:
    add(other, "third", {**CROP, "title": "crop"})
    found = config({"from_run": str(other), "run": ["crop", "third"]}).classification
    assert found.classifiers["third"].title == "crop"


def test_named_classifiers_win_over_entries_of_the_same_name(other: Path) -> None:
    add(other, "context_crop", {**CROP, "input": "masked_crop"})
    found = config({"from_run": str(other), "run": ["context_crop"]}).classification
    assert found.run == ["context_crop"]
    assert found.classifiers["context_crop"].input == "masked_crop"
    job = config({"from_run": str(other), "run": ["context_crop"]}, device="cpu").stages()["classifiers/context_crop"]
    assert job.device == "cpu"


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (["crops"], r"run names 'crops', which the run .* did not train; expected some of .*did you mean 'crop'"),
        (["with_features"], "also takes radiomics"),
        (["crop", "with_density"], "also takes density"),
        (["borrowed"], r"was applied there and not trained; name the run that trained it, results/third"),
    ],
)
def test_what_cannot_be_applied_is_named(other: Path, run: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config({"from_run": str(other), "run": run})


def test_a_folder_of_no_run_of_folds_and_of_damaged_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no trained classifier; expected the folder of a finished run"):
        config({"from_run": str(tmp_path / "none")})
    add(tmp_path / "folds" / "fold-0", "crop", CROP)
    with pytest.raises(ConfigError, match="a run of all folds, which has a classifier for each fold"):
        config({"from_run": str(tmp_path / "folds")})
    assert config({"from_run": str(tmp_path / "folds" / "fold-0")}).classification.run == ["crop"]
    add(tmp_path / "vectors", "only", {**CROP, "vectors": ["gabor"]})
    with pytest.raises(ConfigError, match="no classifier of that run can be applied: only also takes gabor"):
        config({"from_run": str(tmp_path / "vectors")})
    (tmp_path / "vectors" / "classification" / "only" / "training.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read"):
        config({"from_run": str(tmp_path / "vectors")})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"cohort": APPLY},
            r"cohort.split.method is apply, .*expected classification.from_run.*classification.run: \[\]",
        ),
        (
            {
                "cohort": APPLY,
                "classification": {
                    "run": [],
                    "searches": {"s": {"classifier": "context_crop", "space": {"epochs": [1]}}},
                },
            },
            "classification.searches has s, which train",
        ),
        (
            {
                "cohort": APPLY,
                "classification": {"run": []},
                "segmentation": {"models": {"mine": {"train": {"recipe": "tune", "from": "small"}}}},
            },
            r"segmentation.models.mine.train is set.*expected segmentation.models.mine.weights",
        ),
        (
            {
                "cohort": APPLY,
                "classification": {"run": []},
                "comparison": {"feature_models": [{"name": "Stable", "stability_above": 0.5}]},
            },
            "comparison.feature_models has stability_above, .*expected comparison.stability_table",
        ),
    ],
)
def test_nothing_is_trained_without_training_patients(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate_settings(StudyConfig, values, "test")


def test_other_splits_have_no_run_to_take_classifiers_from(other: Path) -> None:
    values = {"classification": {"from_run": str(other)}}
    with pytest.raises(ConfigError, match=r"cohort.split.method is 'random'; expected cohort.split.method: apply"):
        validate_settings(StudyConfig, values, "test")


def test_a_study_without_classifiers_needs_no_run() -> None:
    assert config({"run": []}).classification.run == []
    assert config({"run": []}).classification.validation_classes == 0


def test_classifiers_that_are_trained_need_classes_in_validation() -> None:
    assert StudyConfig().classification.validation_classes == 1
    values = {"classification": {"run": ["context_crop"], "classifiers": {"context_crop": {"keep": "best_auc"}}}}
    assert validate_settings(StudyConfig, values, "test").classification.validation_classes == 2
