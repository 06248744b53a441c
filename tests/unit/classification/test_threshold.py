from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mammoflow.classification.threshold import area_under_curve, choose_threshold
from mammoflow.config.operating_point import ThresholdSettings


def youden(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> float:
    called = probabilities >= threshold
    return float(called[labels == 1].mean() - called[labels == 0].mean())


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.0])), min_size=2, max_size=30
    )
)
def test_no_other_threshold_has_a_larger_youden_index(pairs: list[tuple[bool, float]]) -> None:
    labels = np.array([float(label) for label, _ in pairs])
    probabilities = np.array([probability for _, probability in pairs])
    chosen = choose_threshold(labels, probabilities)
    if len(set(labels)) < 2:
        assert (chosen.value, chosen.origin) == (0.5, "default: validation has one class")
        return
    best = max(youden(labels, probabilities, cut) for cut in probabilities)
    assert youden(labels, probabilities, chosen.value) == pytest.approx(best)


def test_threshold_lies_between_the_classes() -> None:
    chosen = choose_threshold(np.array([0, 0, 1, 1.0]), np.array([0.1, 0.2, 0.6, 0.9]))
    assert chosen.value == pytest.approx(0.4)
    assert chosen.origin.startswith("largest Youden index on validation (2 malignant and 2 benign lesions")


def test_of_equal_thresholds_the_more_sensitive_is_taken() -> None:
    # calling the highest or the highest three malignant gives the same index of one half
    chosen = choose_threshold(np.array([1, 0, 1, 0.0]), np.array([0.9, 0.8, 0.7, 0.1]))
    assert chosen.value == pytest.approx(0.4)


def test_area_is_not_defined_for_one_class_or_broken_scores() -> None:
    assert math.isnan(area_under_curve(np.ones(3), np.array([0.1, 0.2, 0.3])))
    assert math.isnan(area_under_curve(np.array([0, 1.0]), np.array([np.nan, 0.2])))
    assert area_under_curve(np.array([0, 1, 0, 1.0]), np.array([0.1, 0.4, 0.4, 0.8])) == pytest.approx(3.5 / 4)


@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.8, 0.9, 1.0]))
def test_a_stated_sensitivity_or_specificity_is_reached_and_no_more_is_given_away(seed: int, value: float) -> None:
    generator = np.random.default_rng(seed)
    labels = np.array([0.0, 1.0] * 12)
    probabilities = np.round(generator.random(24) / 2 + 0.3 * labels, 2)
    cuts = [*np.unique(probabilities), 2.0]
    sensitivity = {cut: float((probabilities >= cut)[labels == 1].mean()) for cut in cuts}
    specificity = {cut: float((probabilities < cut)[labels == 0].mean()) for cut in cuts}
    sensitive = choose_threshold(labels, probabilities, ThresholdSettings(method="sensitivity", value=value))
    called = probabilities >= sensitive.value
    assert called[labels == 1].mean() >= value
    best = max(specificity[cut] for cut in cuts if sensitivity[cut] >= value)
    assert (~called)[labels == 0].mean() == pytest.approx(best)
    specific = choose_threshold(labels, probabilities, ThresholdSettings(method="specificity", value=value))
    called = probabilities >= specific.value
    assert (~called)[labels == 0].mean() >= value
    best = max(sensitivity[cut] for cut in cuts if specificity[cut] >= value)
    assert called[labels == 1].mean() == pytest.approx(best)
    assert specific.origin == f"specificity of at least {value:g} on validation"


def test_a_fixed_threshold_looks_at_nothing() -> None:
    for value, expected in ((None, 0.5), (0.3, 0.3)):
        chosen = choose_threshold(
            np.array([1.0, 0.0]), np.array([0.9, 0.1]), ThresholdSettings(method="fixed", value=value)
        )
        assert (chosen.value, chosen.origin) == (expected, f"fixed at {expected:g}")


def test_ten_cases_of_each_class_need_no_warning() -> None:
    labels = np.array([1.0] * 10 + [0.0] * 10)
    assert choose_threshold(labels, labels).origin == "largest Youden index on validation"
    assert "fewer than 10" in choose_threshold(labels[1:], labels[1:]).origin
