"""Operating points: thresholds from validation, what they give on test, and biopsies against the radiologist."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_score, recall_score

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.operating_points import at_prevalence, operating_points, threshold_table

SETTINGS = ComparisonSettings(bootstrap=200, prevalence=0.05)
RANDOM = np.random.default_rng(8)
N = 240
LESIONS = pd.DataFrame(
    {
        "patient_id": [f"P{row // 2:03d}" for row in range(N)],
        "split": ["validation"] * 100 + ["test"] * 140,
        "malignant": pd.array(np.repeat(RANDOM.integers(0, 2, N // 2), 2), dtype="Int64"),
    },
    index=pd.Index([f"L{row:03d}" for row in range(N)], name="lesion_id"),
)
LABEL = LESIONS["malignant"].to_numpy(dtype=int)
TEST = LESIONS[LESIONS["split"] == "test"]
VALIDATION = LESIONS[LESIONS["split"] == "validation"]


def run(strength: float, threshold: float = 0.5) -> pd.DataFrame:
    score = 1 / (1 + np.exp(-(strength * (LABEL - 0.5) + RANDOM.normal(0, 1, N))))
    return pd.DataFrame({"score": score, "predicted": (score >= threshold).astype(float)}, index=LESIONS.index)


READER = Candidate("BI-RADS > 3", "reader", {0: run(2.0, threshold=0.3)})
MODEL = Candidate("context_crop", "classifier", {0: run(3.0), 1: run(3.0)})
SURE = Candidate("sure", "classifier", {0: READER.runs[0].assign(score=0.1 + 0.8 * LABEL)})
FLOOR = Candidate("size alone", "floor", {0: run(0.5)})
CANDIDATES = [READER, MODEL, SURE, FLOOR]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    found = operating_points(CANDIDATES, [(CANDIDATES, LESIONS)], TEST, SETTINGS, "phantom")
    return found.set_index(["model", "point"])


def test_every_model_with_probabilities_has_every_point(table: pd.DataFrame) -> None:
    assert table.loc["context_crop"].index.tolist() == [
        "sensitivity 95%", "sensitivity 90%", "specificity 95%", "specificity 90%", "sensitivity of BI-RADS",
        "specificity of BI-RADS",
    ]  # fmt: skip
    assert set(table.index.get_level_values("model")) == {"context_crop", "sure"}
    assert (table["n"] == 140).all()
    assert (table["patients"] == 70).all()
    assert (table["note"] == "phantom").all()


def test_thresholds_come_from_validation_alone(table: pd.DataFrame) -> None:
    row = table.loc[("sure", "sensitivity 95%")]
    assert row["n_validation"] == 100
    label, score = VALIDATION["malignant"].to_numpy(dtype=int), MODEL.runs[0].loc[VALIDATION.index, "score"]
    alone = Candidate("context_crop", "classifier", {0: MODEL.runs[0]})
    found = operating_points([READER, alone], [([READER, alone], LESIONS)], TEST, SETTINGS, "")
    for held, value in (("sensitivity", 1), ("specificity", 0)):
        point = found.set_index("point").loc[f"{held} 90%"]
        called = (score >= point["threshold"]).to_numpy()
        assert (called[label == value] == value).mean() >= 0.9
        on_test = alone.runs[0].loc[TEST.index, "score"] >= point["threshold"]
        assert point["sensitivity"] == pytest.approx(recall_score(TEST["malignant"].astype(int), on_test))
        assert point["ppv"] == pytest.approx(precision_score(TEST["malignant"].astype(int), on_test))
        assert point["sensitivity_low"] < point["sensitivity"] < point["sensitivity_high"]
    # Other test labels change what a threshold gives, and no threshold.
    other = LESIONS.assign(
        malignant=LESIONS["malignant"].where(LESIONS["split"] == "validation", 1 - LESIONS["malignant"])
    )
    again = operating_points([READER, alone], [([READER, alone], other)], other.loc[TEST.index], SETTINGS, "")
    assert again["threshold"].tolist() == found["threshold"].tolist()


def test_points_of_the_reader_are_at_its_rates_on_validation(table: pd.DataFrame) -> None:
    label, called = VALIDATION["malignant"].to_numpy(dtype=int), READER.runs[0].loc[VALIDATION.index, "predicted"]
    row = table.loc[("context_crop", "sensitivity of BI-RADS")]
    assert row["target"] == pytest.approx(called[label == 1].mean())
    assert table.loc[("context_crop", "specificity of BI-RADS"), "target"] == pytest.approx(
        1 - called[label == 0].mean()
    )


def test_a_model_that_knows_avoids_every_benign_biopsy(table: pd.DataFrame) -> None:
    row = table.loc[("sure", "sensitivity of BI-RADS")]
    label, called = TEST["malignant"].to_numpy(dtype=int), READER.runs[0].loc[TEST.index, "predicted"].to_numpy()
    assert row["benign_biopsies_reader"] == called[label == 0].sum()
    assert row["cancers_missed_reader"] == (1 - called[label == 1]).sum()
    assert (row["benign_biopsies_model"], row["cancers_missed_model"], row["biopsies_avoided"]) == (0, 0, 1)
    assert np.isnan(row["biopsies_avoided_low"])  # the same in every resample: no interval of zero width
    other = table.loc[("context_crop", "sensitivity of BI-RADS")]
    assert other["biopsies_avoided_low"] < other["biopsies_avoided"] < other["biopsies_avoided_high"]


def test_seeds_spread_in_area_and_in_sensitivity(table: pd.DataFrame) -> None:
    row = table.loc[("context_crop", "sensitivity 90%")]
    assert row["seeds"] == 2
    assert row["auc_seed_std"] > 0
    assert np.isfinite(row["sensitivity_seed_std"])
    assert np.isnan(row["threshold"])  # each seed has its own
    assert np.isnan(table.loc[("sure", "sensitivity 90%"), "sensitivity_seed_std"])


def test_predictive_values_at_a_prevalence_follow_from_bayes() -> None:
    # A test of 90 % sensitivity and 91 % specificity at 1 % prevalence: 9 of 98 positives are ill (rounded: 1 in 11).
    found = at_prevalence({"sensitivity": 0.9, "specificity": 0.91}, 0.01)
    assert found["ppv_at_prevalence"] == pytest.approx(0.009 / (0.009 + 0.0891))
    assert found["npv_at_prevalence"] == pytest.approx(0.9009 / (0.9009 + 0.001))
    assert np.isnan(at_prevalence({"sensitivity": 0.9, "specificity": 0.9}, None)["ppv_at_prevalence"])
    nothing = at_prevalence({"sensitivity": 0.0, "specificity": 1.0}, 0.1)
    assert np.isnan(nothing["ppv_at_prevalence"])
    assert nothing["npv_at_prevalence"] == pytest.approx(0.9)


def test_the_threshold_table_calls_more_at_lower_thresholds() -> None:
    table = threshold_table(CANDIDATES, TEST, SETTINGS, "")
    rows = table[table["model"] == "context_crop"]
    assert rows["threshold"].is_monotonic_increasing
    assert rows["sensitivity"].is_monotonic_decreasing
    assert rows["called_malignant"].is_monotonic_decreasing
    at_half = rows.set_index("threshold").loc[0.5]
    calls = [one.loc[TEST.index, "score"] >= 0.5 for one in MODEL.runs.values()]
    expected = np.mean([recall_score(TEST["malignant"].astype(int), call) for call in calls])
    assert at_half["sensitivity"] == pytest.approx(expected)
    assert at_half["prevalence"] == 0.05
    assert 0 < at_half["ppv_at_prevalence"] < at_half["ppv"]


def test_without_validation_of_both_classes_there_is_no_point() -> None:
    only = LESIONS.assign(malignant=LESIONS["malignant"].where(LESIONS["split"] == "test", 0))
    assert operating_points(CANDIDATES, [(CANDIDATES, only)], TEST, SETTINGS, "").empty
    assert threshold_table(CANDIDATES, TEST[:0], SETTINGS, "").empty


def test_folds_choose_their_own_thresholds() -> None:
    halves = [TEST.index[:70], TEST.index[70:]]
    groups = []
    for half in halves:
        kept = [*VALIDATION.index, *half]
        groups.append((CANDIDATES, LESIONS.loc[kept]))
    found = operating_points(CANDIDATES, groups, TEST, SETTINGS, "")
    once = operating_points(CANDIDATES, [(CANDIDATES, LESIONS)], TEST, SETTINGS, "")
    assert found["sensitivity"].tolist() == once["sensitivity"].tolist()
    assert (found["n_validation"] == 2 * once["n_validation"]).all()
