from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.foreign import NO_PROBABILITY
from mammoflow.evaluation.levels import LEVELS, level_table, prediction_table

INDEX = pd.Index(["a1", "a2", "b1", "c1", "d1", "e1"], name="lesion_id")
LESIONS = pd.DataFrame(
    {
        # Patient P: finding A on two views, finding B on the first of them, C in the other breast. Q: D; the side of E
        # is not known.
        "patient_id": list("PPPPQQ"),
        "laterality": ["L", "L", "L", "R", "L", ""],
        "image_id": ["i1", "i2", "i1", "i3", "i4", "i5"],
        "finding_id": list("AABCDE"),
        "malignant": pd.array([1, 1, 0, 0, 0, 1], dtype="Int64"),
        "birads": pd.array([4, 5, 2, 3, None, 4], dtype="Int64"),
    },
    index=INDEX,
)


def run(*scores: float) -> pd.DataFrame:
    return pd.DataFrame({"score": np.array(scores), "predicted": np.where(np.isnan(scores), np.nan, 1.0)}, index=INDEX)


READER = Candidate("BI-RADS > 3", "reader", {0: run(4, 5, 2, 3, np.nan, 4)})
NET = Candidate("net", "classifier", {0: run(0.9, 0.1, 0.6, 0.2, 0.3, np.nan), 1: run(0.7, 0.3, 0.6, 0.4, 0.1, 0.5)})
SIZE = Candidate("size alone", "floor", {0: run(1, 2, 3, 4, 5, 6)})
BOOTSTRAP = PatientBootstrap(100, 0.95, 0)


def predictions(level: str) -> pd.DataFrame:
    table = prediction_table([READER, NET, SIZE], LESIONS, "phantom")
    assert set(table["model"]) == {"net"}
    return table[table["level"] == level].set_index("id")


def test_views_of_a_finding_are_averaged() -> None:
    table = predictions("finding")
    assert table["probability"].to_dict() == pytest.approx({"A": 0.5, "B": 0.6, "C": 0.3, "D": 0.2})
    assert table["n_lesions"].to_dict() == {"A": 2, "B": 1, "C": 1, "D": 1}
    assert table.loc["A", "birads"] == 5
    assert (table["split"] == "test").all()


def test_an_image_takes_the_maximum_over_its_lesions() -> None:
    table = predictions("image")
    assert table["probability"].to_dict() == pytest.approx({"i1": 0.8, "i2": 0.2, "i3": 0.3, "i4": 0.2})
    assert table["malignant"].to_dict() == {"i1": 1, "i2": 1, "i3": 0, "i4": 0}


def test_breasts_and_patients_take_the_maximum_over_their_findings() -> None:
    breasts, patients = predictions("breast"), predictions("patient")
    assert breasts["probability"].to_dict() == pytest.approx({"P_L": 0.6, "P_R": 0.3, "Q_L": 0.2})
    assert patients["probability"].to_dict() == pytest.approx({"P": 0.6, "Q": 0.2})
    assert patients["malignant"].to_dict() == {"P": 1, "Q": 1}
    assert patients["n_lesions"].to_dict() == {"P": 4, "Q": 2}
    assert patients.loc["P", "birads"] == 5


def test_lesions_are_as_they_are() -> None:
    assert predictions("lesion")["probability"].to_dict() == pytest.approx(
        {"a1": 0.8, "a2": 0.2, "b1": 0.6, "c1": 0.3, "d1": 0.2}
    )


def test_areas_of_each_level_stand_beside_those_of_the_reader_on_the_same_units() -> None:
    table = level_table([READER, NET, SIZE], LESIONS, BOOTSTRAP, "phantom").set_index(["level", "model"])
    assert set(table.index) == {(level, model) for level in LEVELS for model in ("BI-RADS > 3", "net")}
    row = table.loc[("finding", "net")]
    label = [1, 0, 0, 0]
    areas = [roc_auc_score(label, [0.5, 0.6, 0.2, 0.3]), roc_auc_score(label, [0.5, 0.6, 0.4, 0.1])]
    assert row["auc"] == pytest.approx(np.mean(areas))
    assert (row["n"], row["n_malignant"], row["patients"], row["n_paired"]) == (4, 1, 2, 3)
    assert row["birads_auc"] == 1
    assert row["auc_on_paired"] == pytest.approx(0.5)
    reader = table.loc[("finding", "BI-RADS > 3")]
    assert (reader["n"], reader["n_paired"], reader["auc"], reader["birads_auc"]) == (4, 4, 1, 1)


def test_scores_that_are_no_probabilities_have_areas_and_no_predictions() -> None:
    percent = Candidate("Vendor AI", "classifier", {0: run(90, 10, 60, 20, 30, 50)}, (NO_PROBABILITY,))
    assert set(prediction_table([READER, NET, percent], LESIONS, "")["model"]) == {"net"}
    areas = level_table([READER, NET, percent], LESIONS, BOOTSTRAP, "").set_index(["level", "model"])["auc"]
    assert areas["image", "Vendor AI"] == roc_auc_score([1, 1, 0, 0, 1], [90, 10, 20, 30, 50])


@pytest.mark.parametrize("name", ["birads", "malignant", "n_lesions", "patient_id", "id", "probability"])
def test_a_model_may_have_the_name_of_a_column(name: str) -> None:
    named = [READER, replace(NET, model=name)]
    table = prediction_table(named, LESIONS, "phantom")
    expected = prediction_table([READER, NET], LESIONS, "phantom").assign(model=name)
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)
    assert name in set(level_table(named, LESIONS, BOOTSTRAP, "")["model"])


def test_a_test_split_without_lesions_has_empty_tables() -> None:
    assert prediction_table([READER, NET], LESIONS[:0], "").empty
    assert (level_table([READER, NET], LESIONS[:0], BOOTSTRAP, "")["n"] == 0).all()
