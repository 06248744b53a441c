"""Intervals of proportions, held to published examples, to statsmodels, and to what lesions of one patient share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from mammoflow.evaluation.proportions import Proportion, proportion, wilson_interval


def of_counts(right: int, n: int, each: int = 1) -> Proportion:
    """Return the proportion of rows of patients that have `each` rows, all hits or none."""
    hits = np.repeat(np.arange(n) < right, each).astype(float)
    patients = np.repeat([f"P{number:03d}" for number in range(n)], each).tolist()
    return proportion([hits], [np.ones(n * each)], patients)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_examples_of_newcombe_1998(right: int, n: int, low: float, high: float) -> None:
    # Newcombe, Statistics in Medicine 17, 1998, 857, table I, method 3: Wilson's interval without correction.
    assert wilson_interval(right / n, n, 0.95) == pytest.approx((low, high), abs=0.00006)


@given(st.integers(1, 80), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_that_of_statsmodels(n: int, share: float, confidence: float) -> None:
    right = round(share * n)
    expected = proportion_confint(right, n, 1 - confidence, method="wilson")
    assert wilson_interval(right / n, n, confidence) == pytest.approx(expected, abs=1e-9)


def test_one_row_for_each_patient_is_wilsons_interval() -> None:
    found = of_counts(14, 21)
    assert found.n_effective == pytest.approx(21, rel=0.05)
    assert found.interval(0.95) == pytest.approx(proportion_confint(14, 21, method="wilson"), abs=0.005)
    assert found.influence.sum() == pytest.approx(0)


@pytest.mark.parametrize("right", [0, 21])
def test_all_or_none_of_21_has_an_interval(right: int) -> None:
    low, high = of_counts(right, 21).interval(0.95)
    assert high - low == pytest.approx(0.1546, abs=1e-4)
    assert (low, high)[right > 0] == right / 21


def test_rows_that_patients_share_count_once() -> None:
    alone, shared, as_if_independent = of_counts(14, 21), of_counts(14, 21, each=4), of_counts(56, 84)
    assert shared.n == 84
    assert shared.interval(0.95) == pytest.approx(alone.interval(0.95), abs=0.01)
    assert np.ptp(as_if_independent.interval(0.95)) < 0.6 * np.ptp(shared.interval(0.95))


def test_one_more_error_never_moves_the_lower_bound_up() -> None:
    bounds = []
    for wrong in range(12):
        hits = np.ones(36)
        hits[3 * np.arange(wrong)] = 0
        bounds.append(proportion([hits], [np.ones(36)], np.arange(36) // 3).interval(0.95)[0])
    assert (np.diff(bounds) < 0).all()


def test_a_patient_of_many_rows_makes_the_effective_number_small() -> None:
    patients = np.concatenate([np.zeros(30, dtype=int), np.arange(1, 6)])
    found = proportion([np.ones(35)], [np.ones(35)], patients)
    assert found.n_effective == pytest.approx(35**2 / (30**2 + 5))
    assert found.interval(0.95)[0] < 0.3


def test_seeds_are_averaged_and_what_is_not_defined_stays_so() -> None:
    first, second = np.array([1.0, 1, 0, 0, 1, 0]), np.array([1.0, 0, 0, 0, 1, 0])
    everything = np.ones(6)
    found = proportion([first, second], [everything, everything], np.arange(6))
    assert found.value == pytest.approx((first.mean() + second.mean()) / 2)
    # The precision of a seed that calls nothing malignant is not defined, so their mean is not.
    undefined = proportion([everything, everything], [first, np.zeros(6)], np.arange(6))
    assert np.isnan(undefined.value)
    assert np.isnan(undefined.interval(0.95)).all()
    assert np.isnan(proportion([np.zeros(0)], [np.zeros(0)], []).value)
    assert np.isnan(proportion([first[:2]], [everything[:2]], ["a", "a"]).interval(0.95)).all()


def test_the_variance_over_patients_is_that_of_a_bootstrap() -> None:
    random = np.random.default_rng(3)
    patients = np.repeat(np.arange(200), random.integers(1, 6, 200))
    hits = (random.normal(size=200)[patients] + random.normal(size=len(patients)) > 0.5).astype(float)
    found = proportion([hits], [np.ones(len(hits))], patients)
    counts, right = np.bincount(patients), np.bincount(patients, weights=hits)
    drawn = random.integers(200, size=(4000, 200))
    spread = (right[drawn].sum(axis=1) / counts[drawn].sum(axis=1)).std()
    assert np.sqrt((found.influence**2).sum()) == pytest.approx(spread, rel=0.05)
    assert np.sqrt(found.value * (1 - found.value) / found.n_effective) == pytest.approx(spread, rel=0.07)
