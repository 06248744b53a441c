"""A study on which no classifier can be trained is refused when its tables are read, with what to write instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mammoflow.cohort.checking import check_study
from mammoflow.cohort.stage import build_cohort
from mammoflow.cohort.trainable import why_untrainable
from mammoflow.config.cohort import CohortSettings
from mammoflow.errors import StudyError
from mammoflow.storage.files import read_json
from tests.unit.cohort.small_study import Study, table_of

REMEDY = r"classification\.run: \[\]"


def lesions(**sides: str) -> pd.DataFrame:
    """Return lesions of the sides, each a text of m (malignant), b (benign) and u (unknown)."""
    rows = [
        {"patient_id": f"{side}{place}", "split": side, "malignant": {"m": 1, "b": 0, "u": None}[label]}
        for side, labels in sides.items()
        for place, label in enumerate(labels)
    ]
    return pd.DataFrame(rows, columns=["patient_id", "split", "malignant"]).astype({"malignant": "Int64"})


@pytest.mark.parametrize(
    ("sides", "classes", "message"),
    [
        ({"train": "bbb", "validation": "b", "test": "bb"}, 1, "the study has 0 malignant and 6 benign lesions"),
        ({"train": "mm", "validation": "m", "test": "m"}, 1, "the study has 4 malignant and 0 benign lesions"),
        ({"train": "uu", "validation": "u", "test": "u"}, 1, "no lesion of 4 has a known label"),
        ({"train": "bbu", "validation": "b", "test": "m"}, 1, "the side train has 0 malignant and 2 benign lesions"),
        ({"train": "mb", "validation": "u", "test": "m"}, 1, "the side validation has 0 malignant and 0 benign"),
        ({"train": "mb", "validation": "bb", "test": "m"}, 2, "the side validation has 0 malignant and 2 benign"),
    ],
)
def test_what_lacks_is_named_with_what_to_write(sides: dict[str, str], classes: int, message: str) -> None:
    said = why_untrainable(lesions(**sides), classes)
    assert message in said
    assert "classification.run: []" in said


@pytest.mark.parametrize(
    ("sides", "classes"),
    [
        ({"train": "mb", "validation": "b", "test": "u"}, 1),
        ({"train": "mb", "validation": "mb", "test": ""}, 2),
        ({"train": "bbb", "validation": "b", "test": "b"}, 0),
        ({"test": "u"}, 0),
    ],
)
def test_nothing_is_said_where_nothing_lacks_or_nothing_is_trained(sides: dict[str, str], classes: int) -> None:
    assert why_untrainable(lesions(**sides), classes) == ""


def test_each_fold_is_looked_at() -> None:
    table = lesions(test="mbmb")
    sides = [["train", "train", "validation", "test"], ["train", "validation", "train", "test"]]
    folds = pd.DataFrame(
        [
            {"patient_id": patient, "fold": fold, "split": side}
            for fold, of_fold in enumerate(sides)
            for patient, side in zip(table["patient_id"], of_fold, strict=True)
        ]
    )
    assert "the side train of fold 1 has 2 malignant and 0 benign" in why_untrainable(table, 1, folds)
    assert why_untrainable(table, 1, folds[folds["fold"] == 0]) == ""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "study")


def settings_of(study: Study, labels: list[str], **split: Any) -> CohortSettings:
    """Write a study of one film for each label, one patient each."""
    table = table_of(len(labels)).assign(label=labels)
    study.folder.mkdir()
    table.to_csv(study.folder / "cases.csv", index=False)
    study.write_pictures(table)
    dataset = {"reader": "table", "name": "own", "folder": str(study.folder), "tables": ["cases.csv"]}
    values = {"dataset": {**dataset, "spacing_mm": 0.5}, "split": split, "unlabelled": "keep", "shards": 1}
    return CohortSettings.model_validate(values)


def test_one_class_stops_the_cohort_stage_only_where_classifiers_are_trained(study: Study, tmp_path: Path) -> None:
    settings = settings_of(study, ["benign"] * 4)
    with pytest.raises(StudyError, match=rf"0 malignant and 4 benign lesions; expected both classes.*{REMEDY}"):
        build_cohort(settings, study.folder, tmp_path / "cohort", 1)
    assert (tmp_path / "cohort" / "excluded.parquet").is_file()
    assert not (tmp_path / "cohort" / "lesions.parquet").exists()
    build_cohort(settings, study.folder, tmp_path / "cohort", 0)
    assert len(pd.read_parquet(tmp_path / "cohort" / "lesions.parquet")) == 4
    assert any("classifiers: the study has 0 malignant" in line for line in check_study(settings, 1).lines)
    assert not any("classifiers:" in line for line in check_study(settings, 0).lines)
    assert not check_study(settings, 1).runs
    assert check_study(settings, 0).runs


@pytest.mark.parametrize("labels", [["benign"], ["benign", "malignant"], [""], ["malignant", ""]])
@pytest.mark.parametrize("method", ["random", "kfold"])
def test_too_few_patients_to_divide_are_told_of_the_method_apply(
    study: Study, tmp_path: Path, labels: list[str], method: str
) -> None:
    settings = settings_of(study, labels, method=method)
    with pytest.raises(StudyError, match=rf"cohort\.split\.method: apply.*{REMEDY}"):
        build_cohort(settings, study.folder, tmp_path / "cohort", 0)
    assert any("cohort.split.method: apply" in line for line in check_study(settings, 0).lines)


@pytest.mark.parametrize("labels", [["benign"], ["", ""], ["benign", "malignant", ""]])
def test_the_method_apply_puts_every_patient_on_the_test_side(study: Study, tmp_path: Path, labels: list[str]) -> None:
    settings = settings_of(study, labels, method="apply")
    build_cohort(settings, study.folder, tmp_path / "cohort", 0)
    for name in ("images", "lesions"):
        table = pd.read_parquet(tmp_path / "cohort" / f"{name}.parquet")
        assert len(table) == len(labels)
        assert set(table["split"]) == {"test"}
    assert read_json(tmp_path / "cohort" / "study.json")["split"]["method"] == "apply"
    assert any("every patient is test; nothing is trained" in line for line in check_study(settings, 0).lines)
