from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import brier_score_loss

from mammoflow.evaluation.calibration import calibration, calibration_table, reliability
from mammoflow.evaluation.candidates import Candidate


def drawn(n: int = 20000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    logits = random.normal(-0.5, 1.2, n)
    return (random.random(n) < expit(logits)).astype(float), logits


def test_right_probabilities_have_slope_one_and_intercept_zero() -> None:
    label, logits = drawn()
    found = calibration(label, expit(logits))
    assert found["calibration_slope"] == pytest.approx(1, abs=0.05)
    assert found["calibration_intercept"] == pytest.approx(0, abs=0.05)
    assert found["expected_calibration_error"] < 0.02
    assert found["brier_score"] == pytest.approx(brier_score_loss(label, expit(logits)))


def test_wrong_probabilities_are_told_apart() -> None:
    label, logits = drawn()
    assert calibration(label, expit(2 * logits))["calibration_slope"] == pytest.approx(0.5, abs=0.03)
    high = calibration(label, expit(logits + 1))
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
    assert calibration(label, probability)["expected_calibration_error"] == pytest.approx(0.25)


def test_what_is_not_defined_is_empty() -> None:
    assert np.isnan(list(calibration(np.array([]), np.array([])).values())).all()
    parted = calibration(np.array([0.0, 0.0, 1.0]), np.array([0.1, 0.2, 0.9]))
    assert np.isnan(parted["calibration_slope"])
    assert np.isfinite(parted["calibration_intercept"])
    one_class = calibration(np.ones(3), np.array([0.1, 0.2, 0.9]))
    assert np.isnan(one_class["calibration_intercept"])
    assert one_class["brier_score"] == pytest.approx((0.81 + 0.64 + 0.01) / 3)
    assert np.isnan(calibration(np.array([0.0, 1.0]), np.array([0.3, 0.3]))["calibration_slope"])


def test_the_table_has_models_with_probabilities_and_means_over_seeds() -> None:
    index = pd.Index(list("abcd"), name="lesion_id")
    lesions = pd.DataFrame({"malignant": [0, 1, 0, 1], "patient_id": list("PPQR")}, index=index)
    runs = {
        seed: pd.DataFrame({"score": score, "predicted": 1.0}, index=index)
        for seed, score in enumerate(([0.1, 0.9, 0.4, 0.3], [0.5, 0.5, 0.6, 0.4]))
    }
    candidates = [Candidate("size alone", "floor", runs), Candidate("net", "classifier", runs)]
    table = calibration_table(candidates, lesions, "phantom")
    assert table["model"].tolist() == ["net"]
    expected = [brier_score_loss(lesions["malignant"], run["score"]) for run in runs.values()]
    assert table["brier_score"].iloc[0] == pytest.approx(np.mean(expected))
    assert (table["n"].iloc[0], table["n_malignant"].iloc[0], table["note"].iloc[0]) == (4, 2, "phantom")
