"""Reclassification within assessments, counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.candidates import CLASSIFIER, FLOOR, READER, Candidate
from mammoflow.evaluation.paired import Paired
from mammoflow.evaluation.proportions import wilson_interval
from mammoflow.evaluation.reclassification import reclassification_table

RULE = PatientBootstrap(200, 0.95, 0, 2)
# malignant, assessment, called by the model, and how many such lesions
GROUPS = [(1, 4, 1, 9), (1, 4, 0, 1), (0, 4, 1, 6), (0, 4, 0, 4), (1, 3, 1, 2), (1, 3, 0, 2), (0, 3, 1, 3),
          (0, 3, 0, 12), (1, 5, 0, 1), (0, 0, 0, 1)]  # fmt: skip


def made_up(each: int = 1) -> tuple[pd.DataFrame, list[Candidate]]:
    """Return lesions, `each` of one patient, and candidates: the reader, a model and a floor."""
    rows = [group[:3] for group in GROUPS for _ in range(group[3])]
    index = pd.Index([f"L{row}" for row in range(len(rows))], name="lesion_id")
    table = pd.DataFrame(rows, columns=["malignant", "birads", "called"], index=index)
    table["patient_id"] = [f"P{row // each}" for row in range(len(rows))]
    reader = pd.DataFrame({"score": table["birads"], "predicted": (table["birads"] > 3).astype(float)}, index=index)
    model = pd.DataFrame({"score": table["called"] * 0.8, "predicted": table["called"].astype(float)}, index=index)
    return table.astype({"birads": "Int64"}), [
        Candidate("BI-RADS > 3", READER, {0: reader}),
        Candidate("net", CLASSIFIER, {0: model}),
        Candidate("size alone", FLOOR, {0: model}),
    ]


def rows(fewest_cases: int = 1, each: int = 1) -> pd.DataFrame:
    lesions, candidates = made_up(each)
    table = reclassification_table(candidates, lesions, RULE, "phantom", fewest_cases)
    assert table["model"].unique().tolist() == ["net"]
    return table.set_index("category")


def test_moves_are_counted_within_each_assessment() -> None:
    table = rows()
    moves = ["malignant_up", "malignant_down", "benign_up", "benign_down"]
    assert table.loc["BI-RADS 4", moves].tolist() == [0, 1, 0, 4]
    assert table.loc["BI-RADS 3", moves].tolist() == [2, 0, 3, 0]
    assert table.loc["BI-RADS 3 and 4", moves].tolist() == [2, 1, 3, 4]
    assert table.loc["all", moves].tolist() == [2, 2, 3, 4]
    assert table["n"].tolist() == [19, 20, 39, 41]
    assert table["n_malignant"].tolist() == [4, 10, 14, 15]
    assert table["net_biopsies"].tolist() == [5, -5, 0, -1]
    assert table["net_missed_cancers"].tolist() == [-2, 1, -1, 0]
    assert set(table["note"]) == {"phantom"}


def test_subcategories_of_four_have_rows_where_the_study_gives_them() -> None:
    lesions, candidates = made_up()
    four = lesions["birads"] == 4
    parts = pd.Series(None, index=lesions.index, dtype=object).mask(four, "4B")
    parts[lesions.index[four][:5]] = "4A"
    table = reclassification_table(candidates, lesions.assign(birads_category=parts), RULE, "").set_index("category")
    assert table.loc[["BI-RADS 4A", "BI-RADS 4B"], "n"].tolist() == [5, 15]
    assert table.loc[["BI-RADS 4A", "BI-RADS 4B"], "benign_down"].sum() == table.loc["BI-RADS 4", "benign_down"]
    assert "BI-RADS 4C" not in table.index


def test_improvements_are_shares_of_each_class_with_intervals() -> None:
    table = rows()
    assert table["event_nri"].tolist() == pytest.approx([2 / 4, -1 / 10, 1 / 14, 0])
    assert table["nonevent_nri"].tolist() == pytest.approx([-3 / 15, 4 / 10, 1 / 25, 1 / 26])
    assert table["net_biopsies_share"].tolist() == pytest.approx([5 / 19, -5 / 20, 0, -1 / 41])
    for name in ("event_nri", "nonevent_nri", "net_biopsies_share"):
        assert (table[f"{name}_low"] < table[name]).all()
        assert (table[name] < table[f"{name}_high"]).all()
    low, high = wilson_interval(0.4, 10, 0.95)
    assert table.loc["BI-RADS 4", ["nonevent_nri_low", "nonevent_nri_high"]].tolist() == pytest.approx(
        [low, high], abs=0.01
    )


def test_lesions_of_one_patient_widen_the_interval() -> None:
    alone, shared = (rows(each=each).loc["BI-RADS 4"] for each in (1, 5))
    width = [one["nonevent_nri_high"] - one["nonevent_nri_low"] for one in (alone, shared)]
    assert width[1] > 1.2 * width[0]


def test_few_lesions_have_no_figure() -> None:
    table = rows(fewest_cases=20)
    assert np.isnan(table.loc["BI-RADS 3", "event_nri"])
    assert "fewer than 20 lesions" in table.loc["BI-RADS 3", "note"]
    assert np.isfinite(table.loc["BI-RADS 4", "event_nri"])


def test_a_reader_that_misses_no_cancer_is_no_constant_over_several_assessments() -> None:
    label = np.repeat([1, 0], 20)
    called = np.concatenate([np.zeros(2), np.ones(18), np.zeros(14), np.ones(6)])
    index = pd.Index([f"L{row}" for row in range(40)], name="lesion_id")
    assessed = pd.Series(np.concatenate([np.tile([4, 5], 10), np.tile([3, 4], 10)]), index, dtype="Int64")
    lesions = pd.DataFrame({"malignant": label, "birads": assessed, "patient_id": index}, index=index)
    reader = pd.DataFrame({"score": assessed.astype(float), "predicted": (assessed > 3).astype(float)}, index=index)
    model = pd.DataFrame({"score": called, "predicted": called}, index=index)
    candidates = [Candidate("BI-RADS > 3", READER, {0: reader}), Candidate("net", CLASSIFIER, {0: model})]
    row = reclassification_table(candidates, lesions, RULE, "").set_index("category").loc["all"]
    paired = Paired.of(candidates[1], candidates[0], lesions).of_label(1).decisions
    assert row["event_nri"] == pytest.approx(-0.1)
    assert (row["event_nri_low"], row["event_nri_high"]) == pytest.approx(paired.interval(0.95))
    assert row["event_nri_low"] < 0 < row["event_nri_high"]


def test_seeds_that_move_the_same_share_in_every_resample_give_no_interval() -> None:
    lesions, (reader, model, _) = made_up()
    benign = lesions[(lesions["birads"] == 3) & (lesions["malignant"] == 0)]
    runs = {seed: model.runs[0].assign(predicted=float(seed == 2)) for seed in range(3)}
    table = reclassification_table([reader, Candidate("net", CLASSIFIER, runs)], benign, RULE, "")
    row = table.set_index("category").loc["BI-RADS 3"]
    assert row["net_biopsies_share"] == pytest.approx(1 / 3)
    assert np.isnan(row[["net_biopsies_share_low", "net_biopsies_share_high"]].astype(float)).all()
