"""Paired decisions: the clustered McNemar test and the interval of a difference, held to statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.stats.contingency_tables import mcnemar

from mammoflow.evaluation.decisions import SMALLEST_P, compare_decisions, difference_interval, difference_p_value


def made_up(seed: int, patients: int = 60, each: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return right decisions of two readers, and patients; a patient is easy for one of them or for both."""
    random = np.random.default_rng(seed)
    codes = np.repeat(np.arange(patients), each)
    first, second = (random.normal(size=patients)[codes] + random.normal(size=len(codes)) for _ in range(2))
    return (first > -0.7).astype(float), (second > -0.2).astype(float), codes


def test_one_lesion_for_each_patient_is_mcnemars_test() -> None:
    first, second, _ = made_up(1, each=1)
    found = compare_decisions([first], [second], np.arange(60))
    table = np.array([[((first == a) & (second == b)).sum() for b in (1, 0)] for a in (1, 0)])
    assert found.p_value == pytest.approx(mcnemar(table, exact=False, correction=False).pvalue)
    assert (found.only_first, found.only_second) == (table[0, 1], table[1, 0])
    assert found.value == pytest.approx(first.mean() - second.mean())


@pytest.mark.parametrize("seed", [2, 3])
def test_lesions_that_share_patients_give_the_score_test_of_a_gee(seed: int) -> None:
    first, second, codes = made_up(seed)
    right, reader = np.concatenate([first, second]), np.repeat([1.0, 0.0], len(first))
    model = sm.GEE(
        right,
        np.column_stack([np.ones(len(right)), reader]),
        groups=np.tile(codes, 2),
        family=sm.families.Binomial(),
        cov_struct=sm.cov_struct.Independence(),
        constraint=(np.array([[0.0, 1.0]]), np.array([0.0])),
    )
    model.fit()
    expected = model.score_test_results["p-value"]
    assert compare_decisions([first], [second], codes).p_value == pytest.approx(float(expected), rel=1e-6)


def test_equal_readers_differ_as_often_as_the_level_says() -> None:
    rejected = held = 0
    for seed in range(400):
        random = np.random.default_rng(seed)
        codes = np.repeat(np.arange(40), 3)
        shared = random.normal(size=40)[codes]
        first, second = (
            (shared + random.normal(size=40)[codes] + random.normal(size=120) > -0.8).astype(float) for _ in range(2)
        )
        found = compare_decisions([first], [second], codes)
        low, high = found.interval(0.95)
        rejected += found.p_value < 0.05
        held += low <= 0 <= high
    assert 8 <= rejected <= 34
    assert held >= 372


def test_an_interval_of_few_decisions_stays_wide() -> None:
    first, second = np.ones(12), np.ones(12)
    second[0] = 0
    low, high = compare_decisions([first], [second], np.arange(12)).interval(0.95)
    assert low < 0 < 1 / 12 < high
    assert high - low > 0.3


def test_decisions_that_never_differ_have_neither_interval_nor_p_value() -> None:
    first, _, codes = made_up(5)
    found = compare_decisions([first, first], [first], codes)
    assert found.value == 0
    assert np.isnan([found.p_value, *found.interval(0.95)]).all()
    assert np.isnan(compare_decisions([np.zeros(0)], [np.zeros(0)], []).value)


def test_disagreements_that_cancel_within_each_patient_have_no_interval() -> None:
    codes = np.repeat(np.arange(5), 2)
    first = np.array([1, 1, 1, 1, 0, 0, 0, 0, 1, 0.0])
    second = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 1.0])
    found = compare_decisions([first], [second], codes)
    assert (found.only_first, found.only_second, found.value) == (1, 1, 0)
    assert np.isnan([found.p_value, *found.interval(0.95)]).all()


def test_seeds_are_averaged() -> None:
    first, second, codes = made_up(6)
    other = np.roll(first, 7)
    found = compare_decisions([first, other], [second], codes)
    assert found.first == pytest.approx((first.mean() + other.mean()) / 2)
    both = [compare_decisions([one], [second], codes).value for one in (first, other)]
    assert found.value == pytest.approx(np.mean(both))


def test_names_of_patients_may_be_text() -> None:
    first, second, codes = made_up(7)
    names = [f"P{code:02d}" for code in codes]
    assert compare_decisions([first], [second], names).p_value == compare_decisions([first], [second], codes).p_value


def test_the_same_difference_in_every_patient_has_an_interval_with_width() -> None:
    codes = np.repeat(np.arange(10), 2)
    first = np.array([1, 1] * 5 + [1, 0] * 5, dtype=float)
    second = np.array([1, 0] * 5 + [0, 0] * 5, dtype=float)
    found = compare_decisions([first], [second], codes)
    low, high = found.interval(0.95)
    assert found.value == 0.5
    assert low < 0.4 < 0.6 < high


@pytest.mark.parametrize("seed", range(20))
def test_the_p_value_of_a_difference_belongs_to_its_interval(seed: int) -> None:
    first, second, codes = made_up(seed, patients=8 + 3 * seed, each=2)
    shares = compare_decisions([first], [second], codes).shares
    p_value = difference_p_value(*shares)
    low, high = difference_interval(*shares, 1 - p_value)
    assert min(abs(low), abs(high)) < 1e-6
    assert difference_p_value(*shares[::-1]) == pytest.approx(p_value)
    for confidence in (0.5, 0.95, 0.999):
        low, high = difference_interval(*shares, confidence)
        assert (p_value < 1 - confidence) == (not low <= 0 <= high)


def test_equal_shares_have_a_p_value_of_1_and_far_ones_the_smallest() -> None:
    first, _, codes = made_up(5)
    shares = compare_decisions([first], [first[::-1].copy()], codes).shares
    assert difference_p_value(*shares) == 1
    far = compare_decisions([np.ones(4000)], [np.zeros(4000)], np.arange(4000)).shares
    assert difference_p_value(*far) == SMALLEST_P


def test_shares_that_differ_by_rounding_alone_have_a_p_value_of_1() -> None:
    codes = np.arange(73)
    first, second = (
        compare_decisions([(codes < right).astype(float) for right in seeds], [np.ones(73)], codes).shares[0]
        for seeds in ((60, 66, 70), (59, 67, 70))
    )
    assert first.value == pytest.approx(second.value)
    assert difference_p_value(first, second) == pytest.approx(1)
