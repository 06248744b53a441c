"""Calibration, held to scikit-learn and to cluster-robust logistic regressions of statsmodels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from scipy.stats import t
from sklearn.metrics import brier_score_loss

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.calibration import (
    calibration,
    calibration_table,
    expected_error,
    mean_temperatures,
    reliability,
    reliability_table,
)
from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.estimates import Scored
from mammoflow.evaluation.foreign import NO_PROBABILITY

RULE = PatientBootstrap(200, 0.95, 0, 2)


def values(label: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Return the measures of one seed and lesions of different patients."""
    scored = Scored(label, [probability], [label], np.arange(len(label)))
    found = {name: one.value for name, one in calibration(scored, RULE).items()}
    return found | {"expected_calibration_error": expected_error(scored)}


def clustered(patients: int = 80) -> Scored:
    """Return lesions of which those of a patient are alike, with probabilities that are too extreme."""
    random = np.random.default_rng(1)
    names = np.repeat(np.arange(patients), 3)
    logits = random.normal(0, 1, patients)[names] + random.normal(0, 0.4, len(names))
    label = (random.random(patients)[names] < expit(logits)).astype(float)
    return Scored(label, [expit(1.6 * logits + 0.3)], [label], names)


def drawn(n: int = 8000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    logits = random.normal(-0.5, 1.2, n)
    return (random.random(n) < expit(logits)).astype(float), logits


def test_right_probabilities_have_slope_one_and_intercept_zero() -> None:
    label, logits = drawn()
    found = values(label, expit(logits))
    assert found["calibration_slope"] == pytest.approx(1, abs=0.05)
    assert found["calibration_intercept"] == pytest.approx(0, abs=0.05)
    assert found["expected_calibration_error"] < 0.02
    assert found["brier_score"] == pytest.approx(brier_score_loss(label, expit(logits)))


def test_wrong_probabilities_are_told_apart() -> None:
    label, logits = drawn()
    assert values(label, expit(2 * logits))["calibration_slope"] == pytest.approx(0.5, abs=0.03)
    high = values(label, expit(logits + 1))
    assert high["calibration_intercept"] == pytest.approx(-1, abs=0.05)
    assert high["calibration_slope"] == pytest.approx(1, abs=0.05)
    assert high["expected_calibration_error"] > 0.1


def test_bins_have_equal_counts_and_the_error_is_their_mean_distance() -> None:
    label = np.array([0.0, 1.0] * 10)
    probability = np.repeat(np.arange(10) / 10, 2) + 0.05
    means, shares, counts = reliability(label, probability)
    assert means == pytest.approx(np.arange(10) / 10 + 0.05)
    assert (shares == 0.5).all()
    assert (counts == 2).all()
    assert values(label, probability)["expected_calibration_error"] == pytest.approx(0.25)


def test_equal_probabilities_stay_in_one_bin_whatever_the_order_of_the_rows() -> None:
    label = np.array([1.0] * 10 + [0.0] * 10)
    assert values(label, np.full(20, 0.5))["expected_calibration_error"] == 0
    probability = np.repeat([0.2, 0.7], [13, 7])
    for order in (np.arange(20), np.random.default_rng(0).permutation(20)):
        means, shares, counts = reliability(label[order], probability[order])
        assert means == pytest.approx([0.2, 0.7])
        assert shares == pytest.approx([10 / 13, 0])
        assert counts.tolist() == [13, 7]


def test_classes_that_meet_only_in_ties_have_no_slope() -> None:
    label = np.repeat([0.0, 0.0, 1.0, 1.0], [20, 10, 10, 20])
    probability = np.repeat([0.1, 0.5, 0.5, 0.9], [20, 10, 10, 20])
    assert np.isnan(values(label, probability)["calibration_slope"])
    assert np.isnan(values(1 - label, probability)["calibration_slope"])
    probability[0] = 0.6
    assert np.isfinite(values(label, probability)["calibration_slope"])


def test_what_is_not_defined_is_empty() -> None:
    assert np.isnan(list(values(np.array([]), np.array([])).values())).all()
    parted = values(np.array([0.0, 0.0, 1.0]), np.array([0.1, 0.2, 0.9]))
    assert np.isnan(parted["calibration_slope"])
    assert np.isfinite(parted["calibration_intercept"])
    one_class = values(np.ones(3), np.array([0.1, 0.2, 0.9]))
    assert np.isnan(one_class["calibration_intercept"])
    assert np.isnan(one_class["scaled_brier_score"])
    assert one_class["brier_score"] == pytest.approx((0.81 + 0.64 + 0.01) / 3)
    assert np.isnan(values(np.array([0.0, 1.0]), np.array([0.3, 0.3]))["calibration_slope"])


def test_slope_and_intercept_with_their_errors_are_those_of_statsmodels() -> None:
    scored = clustered()
    found, logits = calibration(scored, RULE), logit(scored.scores[0])
    design = sm.add_constant(logits)
    groups = {"groups": scored.patients, "use_correction": False}
    slope = sm.Logit(scored.label, design).fit(disp=0, cov_type="cluster", cov_kwds=groups)
    shift = sm.GLM(scored.label, np.ones(len(logits)), sm.families.Binomial(), offset=logits).fit(
        cov_type="cluster", cov_kwds=groups
    )
    patients = len(np.unique(scored.patients))
    reach = t.ppf(0.975, patients - 1) * np.sqrt(patients / (patients - 1))
    for name, value, error in (
        ("calibration_slope", slope.params[1], slope.bse[1]),
        ("calibration_intercept", shift.params[0], shift.bse[0]),
    ):
        expected = (value, value - reach * error, value + reach * error)
        assert (found[name].value, found[name].low, found[name].high) == pytest.approx(expected, abs=1e-4)
    independent = sm.Logit(scored.label, design).fit(disp=0)
    assert slope.bse[1] > 1.3 * independent.bse[1]


def test_the_scaled_score_is_zero_for_the_share_and_one_for_the_truth() -> None:
    label = np.array([0.0, 1.0, 1.0, 0.0, 0.0])
    assert values(label, np.full(5, 0.4))["scaled_brier_score"] == pytest.approx(0)
    assert values(label, label)["scaled_brier_score"] == pytest.approx(1)


def test_brier_scores_have_the_interval_of_a_loop_over_resamples() -> None:
    scored = clustered(12)
    found = calibration(scored, RULE)
    plain, scaled = [], []
    for weights in RULE.weights(scored.patients)[1:]:
        error = np.average((scored.scores[0] - scored.label) ** 2, weights=weights)
        share = np.average(scored.label, weights=weights)
        plain.append(error)
        scaled.append(1 - error / (share * (1 - share)))
    for name, resampled in (("brier_score", plain), ("scaled_brier_score", scaled)):
        assert (found[name].low, found[name].high) == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])))


def test_few_patients_have_no_interval() -> None:
    found = calibration(clustered(20), PatientBootstrap(100, 0.95, 0, 30))
    assert all(np.isnan(one.low) and np.isfinite(one.value) for one in found.values())


def table_parts() -> tuple[pd.DataFrame, list[Candidate]]:
    index = pd.Index(list("abcd"), name="lesion_id")
    lesions = pd.DataFrame({"malignant": [0, 1, 0, 1], "patient_id": list("PPQR")}, index=index)
    runs = {
        seed: pd.DataFrame({"score": score, "predicted": 1.0}, index=index)
        for seed, score in enumerate(([0.1, 0.9, 0.4, 0.3], [0.5, 0.5, 0.6, 0.4]))
    }
    families = {"size alone": "floor", "net": "classifier", "assessment alone": "floor"}
    candidates = [Candidate(name, family, runs) for name, family in families.items()]
    return lesions, [*candidates, Candidate("tool", "classifier", runs, (NO_PROBABILITY,))]


def test_the_table_has_models_with_probabilities_and_means_over_seeds() -> None:
    lesions, candidates = table_parts()
    training = {"net": {"seeds": {"0": {"temperature": 1.5}, "1": {"temperature": 2.5}}}}
    table = calibration_table(candidates, lesions, RULE, "phantom", training)
    assert table["model"].tolist() == ["net", "assessment alone"]
    expected = [brier_score_loss(lesions["malignant"], run["score"]) for run in candidates[1].runs.values()]
    assert table["brier_score"].iloc[0] == pytest.approx(np.mean(expected))
    assert (table["n"].iloc[0], table["n_malignant"].iloc[0], table["note"].iloc[0]) == (4, 2, "phantom")
    assert table["patients"].tolist() == [3, 3]
    assert table["temperature"].iloc[0] == 2
    assert np.isnan(table["temperature"].iloc[1])


def test_temperatures_are_means_over_seeds_and_folds() -> None:
    records = {"net": {"seeds": {"0": {"temperature": 1.0}}}, "net, fold 1": {"seeds": {"0": {"temperature": 2.0}}}}
    assert mean_temperatures({**records, "other": {}}) == {"net": 1.5}


def test_bins_of_the_table_hold_all_predictions_with_intervals_over_patients() -> None:
    lesions, candidates = table_parts()
    table = reliability_table(candidates[:2], lesions, RULE, "phantom")
    # Two predictions of .4 and two of .5, of different lesions, have one bin each.
    assert table["bin"].tolist() == list(range(1, 7))
    assert table["n"].tolist() == [1, 1, 2, 2, 1, 1]
    assert table["mean_probability"].tolist() == [0.1, 0.3, 0.4, 0.5, 0.6, 0.9]
    index = pd.Index([f"L{row}" for row in range(200)], name="lesion_id")
    label = np.arange(200) % 2
    lesions = pd.DataFrame({"malignant": label, "patient_id": [f"P{row // 4}" for row in range(200)]}, index=index)
    run = pd.DataFrame({"score": np.linspace(0, 1, 200), "predicted": 1.0}, index=index)
    table = reliability_table([Candidate("net", "classifier", {0: run})], lesions, RULE, "")
    assert table["malignant_share"].tolist() == [0.5] * 10
    assert (table["n"] == 20).all()
    assert (table["patients"] == 5).all()
    assert ((table["malignant_share_low"] < 0.5) & (table["malignant_share_high"] > 0.5)).all()
    assert (table["lowest"].iloc[1:].to_numpy() > table["highest"].iloc[:-1].to_numpy()).all()
