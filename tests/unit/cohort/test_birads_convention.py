"""Labels from BI-RADS: only where the settings ask for it, only where there is no pathology, and never silently."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from mammoflow.cohort.birads_convention import convention_notes, label_by_birads
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.base import validate_settings
from mammoflow.config.cohort import CohortSettings, DatasetSettings
from mammoflow.errors import ConfigError
from mammoflow.tables.cohort import LESIONS
from mammoflow.tables.files import read_table

LABELS = [None, None, None, None, None, None, "benign", "normal", "malignant"]
ASSESSMENTS = [None, 0, 1, 3, 4, 6, 6, 5, 2]


def labelled(bound: int | None, benign: int | None = None) -> pd.DataFrame:
    rows = pd.DataFrame({"label": LABELS, "birads": ASSESSMENTS})
    settings = {"malignant_from_birads": bound, "benign_to_birads": benign}
    dataset = DatasetSettings(reader="cbis-ddsm", folder="x", name="mine", **settings)
    return label_by_birads(rows, dataset)


def text(column: pd.Series) -> list[str]:
    return ["" if pd.isna(value) else value for value in column]


def test_no_convention_no_label() -> None:
    table = labelled(None)
    assert text(table["label"]) == ["", "", "", "", "", "", "benign", "normal", "malignant"]
    assert text(table["label_origin"]) == [""] * 6 + ["pathology"] * 3


@pytest.mark.parametrize(("bound", "three", "four"), [(4, "benign", "malignant"), (3, "malignant", "malignant")])
def test_pathology_goes_first_and_incomplete_stays_unknown(bound: int, three: str, four: str) -> None:
    table = labelled(bound)
    expected = ["", "", "benign", three, four, "malignant", "benign", "normal", "malignant"]
    assert text(table["label"]) == expected
    assert text(table["label_origin"]) == ["", ""] + ["birads"] * 4 + ["pathology"] * 3


def test_what_lies_between_may_be_left_out() -> None:
    table = labelled(4, benign=2)
    assert text(table["label"]) == ["", "", "benign", "", "malignant", "malignant", "benign", "normal", "malignant"]
    assert text(table["label_origin"])[2:5] == ["birads", "", "birads"]


@pytest.mark.parametrize("bounds", [(None, 2), (4, 4), (3, 5)])
def test_benign_must_end_below_malignant(bounds: tuple[int | None, int]) -> None:
    values = dict(zip(("malignant_from_birads", "benign_to_birads"), bounds, strict=True))
    with pytest.raises(ConfigError, match="benign_to_birads"):
        validate_settings(DatasetSettings, values, "settings")


def test_note_counts_what_the_convention_labelled() -> None:
    dataset = DatasetSettings(reader="cbis-ddsm", folder="x", name="mine", malignant_from_birads=4)
    (note,) = convention_notes(pd.DataFrame({"label_origin": ["birads", "pathology", "birads"]}), dataset)
    assert "mine" in note
    assert "2 of 3" in note
    assert "BI-RADS 4" in note
    assert "circular" in note
    assert convention_notes(pd.DataFrame({"label_origin": ["pathology"]}), dataset) == []


@pytest.mark.parametrize("bound", [1, 7, "4", 4.0])
def test_bounds_that_mean_nothing(bound: object) -> None:
    with pytest.raises(ConfigError, match="malignant_from_birads"):
        validate_settings(DatasetSettings, {"malignant_from_birads": bound}, "settings")


def test_a_table_without_labels(tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    cv2.imwrite(str(study / "mask.png"), np.full((8, 6), 255, np.uint8))
    table = pd.DataFrame({"patient": [f"P{number}" for number in range(9)], "birads": ["2", "4a", "5"] * 3})
    table = table.assign(image=[f"{number}.png" for number in range(9)], mask="mask.png")
    table.to_csv(study / "cases.csv", index=False)
    for name in table["image"]:
        cv2.imwrite(str(study / name), np.zeros((8, 6), np.uint8))
    values = {"reader": "table", "name": "mine", "folder": str(study), "tables": ["cases.csv"]}
    with pytest.raises(ConfigError, match="label"):
        build_cohort(CohortSettings(dataset=DatasetSettings(**values)), study, tmp_path / "out")
    settings = CohortSettings(dataset=DatasetSettings(**values, malignant_from_birads=4))
    build_cohort(settings, study, tmp_path / "out")
    lesions = read_table(tmp_path / "out" / "lesions.parquet", LESIONS)
    assert list(lesions["malignant"]) == [0, 1, 1] * 3
    assert set(lesions["label_origin"]) == {"birads"}
    (note,) = json.loads((tmp_path / "out" / "study.json").read_text())["notes"]
    assert "9 of 9" in note
