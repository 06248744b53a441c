"""The temperature has the least cross entropy, keeps the order of lesions, and needs enough cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from mammoflow.classification.calibration import SMALLEST, fit_temperature, negative_log_likelihood
from mammoflow.classification.threshold import area_under_curve


@pytest.fixture
def truth() -> tuple[np.ndarray, np.ndarray]:
    """Return labels that were drawn from the probabilities of logits, and the logits."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 1.5, 4000)
    return (generator.random(4000) < expit(logits)).astype(np.float64), logits


@pytest.mark.parametrize("stretch", [0.4, 1.0, 3.0])
def test_logits_that_are_stretched_are_brought_back(truth: tuple[np.ndarray, np.ndarray], stretch: float) -> None:
    labels, logits = truth
    fitted = fit_temperature(labels, logits * stretch, 1.0)
    assert fitted.value == pytest.approx(stretch, rel=0.08)
    assert fitted.origin == "least cross entropy on validation"
    calibrated = logits * stretch / fitted.value
    assert area_under_curve(labels, expit(calibrated)) == pytest.approx(area_under_curve(labels, logits), abs=1e-9)
    nearby = [negative_log_likelihood(labels, calibrated / change, 1.0) for change in (0.95, 1.0, 1.05)]
    assert nearby[1] == min(nearby)


def test_cases_have_the_weights_of_the_training_loss() -> None:
    labels, logits = np.array([1.0, 0.0]), np.array([0.3, -0.2])
    expected = (3 * np.log1p(np.exp(-0.3)) + np.log1p(np.exp(-0.2))) / 2
    assert negative_log_likelihood(labels, logits, 3.0) == pytest.approx(expected)


def test_few_cases_keep_the_logits_and_say_so() -> None:
    fitted = fit_temperature(np.array([1.0] * 9 + [0.0] * 30), np.linspace(-1, 1, 39), 1.0)
    assert fitted.value == 1.0
    assert "9 malignant and 30 benign lesions in validation, fewer than 10" in fitted.origin


def test_a_perfect_model_has_the_smallest_temperature_and_not_none() -> None:
    labels = np.array([0.0] * 12 + [1.0] * 12)
    assert fit_temperature(labels, 4 * labels - 2, 1.0).value == pytest.approx(SMALLEST, rel=0.01)
