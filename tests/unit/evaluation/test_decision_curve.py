"""Net benefit, held to its formula by hand, and its intervals over patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.candidates import CLASSIFIER, FLOOR, READER, Candidate
from mammoflow.evaluation.decision_curve import THRESHOLDS, Calls, decision_curve_table, net_benefits
from mammoflow.evaluation.foreign import NO_PROBABILITY

SETTINGS = ComparisonSettings(bootstrap=200, fewest_patients=2)
N = 60


def lesions() -> pd.DataFrame:
    index = pd.Index([f"L{row}" for row in range(N)], name="lesion_id")
    label = np.arange(N) % 3 == 0
    return pd.DataFrame({"malignant": label.astype(int), "patient_id": [f"P{row // 2}" for row in range(N)]}, index)


def candidates(table: pd.DataFrame) -> list[Candidate]:
    random = np.random.default_rng(1)
    assessment = np.where(random.random(N) < 0.7, 3 + table["malignant"], 4).astype(float)
    reader = pd.DataFrame({"score": assessment, "predicted": (assessment > 3).astype(float)}, table.index)
    reader.iloc[:2] = np.nan
    runs = {}
    for seed in range(2):
        score = np.clip(0.3 + 0.3 * table["malignant"] + random.normal(0, 0.2, N), 0.001, 0.999)
        runs[seed] = pd.DataFrame({"score": score, "predicted": (score >= 0.5).astype(float)}, table.index)
    notes = (NO_PROBABILITY,)
    return [
        Candidate("BI-RADS > 3", READER, {0: reader}),
        Candidate("net", CLASSIFIER, runs),
        Candidate("tool", CLASSIFIER, runs, notes),
        Candidate("size alone", FLOOR, runs),
        Candidate("assessment alone", FLOOR, {0: runs[0]}),
    ]


def by_hand(label: np.ndarray, called: np.ndarray, threshold: float) -> float:
    """Return the net benefit as Vickers and Elkin write it."""
    true, false = (label * called).sum(), ((1 - label) * called).sum()
    return float(true / len(label) - false / len(label) * threshold / (1 - threshold))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return decision_curve_table(candidates(lesions()), lesions(), SETTINGS, "phantom")


def test_rows_are_policies_the_reader_and_models_with_probabilities(table: pd.DataFrame) -> None:
    assert table["model"].unique().tolist() == ["biopsy all", "biopsy none", "BI-RADS > 3", "net", "assessment alone"]
    assert (table.groupby("model").size() == len(THRESHOLDS)).all()
    assert set(table["note"]) == {"phantom"}
    assert table[["n", "patients"]].notna().all(axis=None)
    assert table["prevalence"].iloc[0] == pytest.approx(1 / 3)
    assert set(table["prevalence_of"]) == {"test lesions"}


def test_values_are_those_of_the_formula(table: pd.DataFrame) -> None:
    every, models = lesions(), candidates(lesions())
    label = every["malignant"].to_numpy()
    for row in table[table["threshold"].isin([0.01, 0.2, 0.5, 0.9])].itertuples():
        odds = row.threshold / (1 - row.threshold)
        if row.model == "biopsy all":
            expected = label.mean() - (1 - label.mean()) * odds
        elif row.model == "biopsy none":
            expected = 0.0
        elif row.model == "BI-RADS > 3":
            expected = by_hand(label[2:], models[0].runs[0]["predicted"].to_numpy()[2:], row.threshold)
        else:
            seeds = next(one for one in models if one.model == row.model).runs.values()
            expected = np.mean([by_hand(label, seed["score"].to_numpy() >= row.threshold, row.threshold)
                                for seed in seeds])  # fmt: skip
        assert row.net_benefit == pytest.approx(expected), row
        share = label[2:].mean() if row.model == "BI-RADS > 3" else label.mean()
        assert row.biopsy_all == pytest.approx(share - (1 - share) * odds), row


def test_the_difference_is_on_the_lesions_that_both_score(table: pd.DataFrame) -> None:
    models, label = candidates(lesions()), lesions()["malignant"].to_numpy()[2:]
    row = table[(table["model"] == "net") & (table["threshold"] == 0.3)].iloc[0]
    assert (row["n"], row["n_paired"]) == (N, N - 2)
    called = [seed["score"].to_numpy()[2:] >= 0.3 for seed in models[1].runs.values()]
    reader = by_hand(label, models[0].runs[0]["predicted"].to_numpy()[2:], 0.3)
    expected = np.mean([by_hand(label, one, 0.3) for one in called]) - reader
    assert row["birads_difference"] == pytest.approx(expected)
    assert row["birads_difference_low"] < expected < row["birads_difference_high"]
    assert table.loc[table["model"] == "BI-RADS > 3", "birads_difference"].isna().all()


def test_a_prevalence_weights_the_rates() -> None:
    settings = SETTINGS.model_copy(update={"prevalence": 0.1})
    table = decision_curve_table(candidates(lesions()), lesions(), settings, "")
    label = lesions()["malignant"].to_numpy()
    called = candidates(lesions())[4].runs[0]["score"].to_numpy() >= 0.2
    expected = 0.1 * called[label == 1].mean() - 0.9 * called[label == 0].mean() * 0.25
    row = table[(table["model"] == "assessment alone") & (table["threshold"] == 0.2)].iloc[0]
    assert row["net_benefit"] == pytest.approx(expected)
    assert (row["prevalence"], row["prevalence_of"]) == (0.1, "comparison.prevalence")
    every = table[table["model"] == "biopsy all"]
    assert every["net_benefit_low"].isna().all()


def test_bounds_are_those_of_a_loop_over_resamples() -> None:
    rule = PatientBootstrap(200, 0.9, 4, 2)
    random = np.random.default_rng(2)
    patients = np.repeat(np.arange(20), 3)
    label = random.integers(0, 2, 60).astype(float)
    called = random.integers(0, 2, (60, 2)).astype(float)
    parts = [Calls(called, np.ones(60))]
    (found,) = net_benefits(parts, label, patients, np.array([0.1, 0.4]), rule, None)
    low, high = rule.bounds(found)
    for column, threshold in enumerate((0.1, 0.4)):
        values = []
        for weights in rule.weights(patients)[1:]:
            rows = np.repeat(np.arange(60), weights.astype(int))
            values.append(by_hand(label[rows], called[rows, column], threshold))
        assert (low[column], high[column]) == pytest.approx(tuple(np.quantile(values, [0.05, 0.95])))
