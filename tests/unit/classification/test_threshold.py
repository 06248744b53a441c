from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mammoflow.classification.threshold import area_under_curve, choose_threshold


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
    assert chosen.origin == "largest Youden index on validation"


def test_of_equal_thresholds_the_more_sensitive_is_taken() -> None:
    # calling the highest or the highest three malignant gives the same index of one half
    chosen = choose_threshold(np.array([1, 0, 1, 0.0]), np.array([0.9, 0.8, 0.7, 0.1]))
    assert chosen.value == pytest.approx(0.4)


def test_area_is_not_defined_for_one_class_or_broken_scores() -> None:
    assert math.isnan(area_under_curve(np.ones(3), np.array([0.1, 0.2, 0.3])))
    assert math.isnan(area_under_curve(np.array([0, 1.0]), np.array([np.nan, 0.2])))
    assert area_under_curve(np.array([0, 1, 0, 1.0]), np.array([0.1, 0.4, 0.4, 0.8])) == pytest.approx(3.5 / 4)
