"""Inner folds: training patients alone, each held out once, both classes in each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mammoflow.classification.cases import Cases, read_cases
from mammoflow.classification.search import inner_folds
from mammoflow.classification.search.inner_folds import InnerFolds, PreparedInputs, training_cases
from mammoflow.config.base import validate_settings
from mammoflow.config.classification import ClassifierSettings
from mammoflow.errors import StudyError

PICTURES = {"input": "whole_image", "network": "resnet_small", "input_options": {"image_px": 32}}


@pytest.fixture
def cases(study: Any) -> Cases:
    return training_cases(read_cases(study.images))


def prepared(study: Any, cases: Cases, cache: Path) -> PreparedInputs:
    return PreparedInputs(cases, study.files(), cache, 1, torch.device("cpu"))


def settings_of(**changes: Any) -> ClassifierSettings:
    return validate_settings(ClassifierSettings, {**PICTURES, **changes}, "test")


def test_only_training_patients_are_left(study: Any, cases: Cases) -> None:
    expected = study.lesions.loc[study.lesions["split"] == "train", "lesion_id"]
    assert sorted(cases.lesions["lesion_id"]) == sorted(expected)
    shown = cases.images["image_id"].to_numpy()[cases.lesions["image_index"]]
    assert (shown == cases.lesions["image_id"]).all()


def test_each_patient_is_held_out_once_and_each_fold_has_both_classes(cases: Cases) -> None:
    folds = InnerFolds.draw(cases, 3, seed=0)
    held_out: list[str] = []
    for fold in range(3):
        divided = folds.cases_of(fold)
        for table in (divided.lesions, divided.images):
            assert set(table["split"]) == {"train", "validation"}
        validation = divided.lesions[divided.lesions["split"] == "validation"]
        assert set(validation["malignant"]) == {0, 1}
        assert not set(validation["patient_id"]) & set(
            divided.lesions.loc[divided.lesions["split"] == "train", "patient_id"]
        )
        held_out += validation["patient_id"].unique().tolist()
    assert sorted(held_out) == sorted(cases.lesions["patient_id"].unique())
    counts = folds.counts()
    assert sum(count["patients"] for count in counts) == cases.lesions["patient_id"].nunique()
    assert sum(count["malignant"] + count["benign"] for count in counts) == len(cases.lesions)


def test_the_folds_follow_from_seed_and_ids_alone(cases: Cases) -> None:
    drawn = InnerFolds.draw(cases, 3, seed=0).fold_of
    turned = Cases(cases.lesions.iloc[::-1], cases.images.iloc[::-1])
    assert InnerFolds.draw(turned, 3, seed=0).fold_of == drawn
    assert InnerFolds.draw(cases, 3, seed=1).fold_of != drawn


def test_too_few_patients_for_the_folds_are_an_error(cases: Cases) -> None:
    with pytest.raises(StudyError, match=r"inner_folds is 9; expected at least one of each kind in each inner fold"):
        InnerFolds.draw(cases, 9, seed=0)


def test_no_training_patient_is_an_error(cases: Cases) -> None:
    tables = (table.assign(split="test") for table in (cases.lesions, cases.images))
    with pytest.raises(StudyError, match="no lesion is in train"):
        training_cases(Cases(*tables))


@pytest.mark.parametrize("changes", [{}, {"covariates": ["view"]}], ids=["images", "lesions"])
def test_samples_are_shared_and_divided_by_patient(
    study: Any, cases: Cases, tmp_path: Path, changes: dict[str, Any]
) -> None:
    folds = InnerFolds.draw(cases, 3, seed=0)
    samples = prepared(study, cases, tmp_path / "cache").of(settings_of(**changes))
    assert set(samples.split) == {"train"}
    for fold in range(3):
        view: Any = folds.samples_of(samples, fold)
        assert view.pictures is samples.pictures  # type: ignore[attr-defined]
        sides = view.split[view.sample_of]
        pd.testing.assert_series_equal(pd.Series(sides), folds.cases_of(fold).lesions["split"], check_names=False)
    assert set(samples.split) == {"train"}


def test_inputs_are_prepared_once_for_each_of_their_options(
    study: Any, cases: Cases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = prepared(study, cases, tmp_path / "cache")
    one = inputs.of(settings_of())
    assert inputs.of(settings_of(dropout=0.5, learning_rate=0.1)) is one
    other = inputs.of(settings_of(input_options={"image_px": 40}))
    assert other[0]["picture"].shape == (1, 40, 40)
    assert len(list((tmp_path / "cache").iterdir())) == 2
    monkeypatch.setattr(inner_folds, "MOST_INPUTS", 2)
    inputs.of(settings_of())  # used last
    third = inputs.of(settings_of(input_options={"image_px": 48}))
    assert list(inputs.kept.values()) == [one, third]
    assert len(list((tmp_path / "cache").iterdir())) == 2
    inputs.forget(settings_of())
    again = inputs.of(settings_of())
    assert again is not one
    assert np.array_equal(again[0]["picture"], one[0]["picture"])
