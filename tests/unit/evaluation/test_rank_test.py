"""The Mann-Whitney test for clustered rows: independent rows, dependent rows, and what cannot be tested."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kstest, mannwhitneyu

from mammoflow.evaluation.metrics import auc
from mammoflow.evaluation.rank_test import clustered_rank_test


def patients(number: int, rows_of_each: int = 1) -> list[str]:
    return [f"P{row // rows_of_each}" for row in range(number * rows_of_each)]


@pytest.mark.parametrize("shift", [0.0, 0.15, -0.3])
def test_independent_rows_give_the_plain_test(shift: float) -> None:
    random = np.random.default_rng(1)
    label = (np.arange(2000) % 3 == 0).astype(float)
    value = random.standard_normal(2000) + shift * label
    plain = mannwhitneyu(value[label == 1], value[label == 0], method="asymptotic", use_continuity=False).pvalue
    assert math.log(clustered_rank_test(label, value, patients(2000))) == pytest.approx(math.log(plain), rel=0.05)


def test_rows_given_twice_add_no_evidence() -> None:
    random = np.random.default_rng(2)
    label = np.repeat((np.arange(60) % 2).astype(float), 4)
    value = np.repeat(random.standard_normal(60) + 0.5 * (np.arange(60) % 2), 4)
    once = clustered_rank_test(label[::4], value[::4], patients(60))
    assert clustered_rank_test(label, value, patients(60, 4)) == pytest.approx(once, rel=1e-9)
    assert clustered_rank_test(label, value, patients(240)) < once / 5


def test_p_values_are_uniform_where_a_patient_shares_value_and_label_and_nothing_differs() -> None:
    random = np.random.default_rng(3)
    p_values = []
    for _ in range(1000):
        label = np.repeat(random.integers(0, 2, 80), 3).astype(float)
        value = np.repeat(random.standard_normal(80), 3) + 0.3 * random.standard_normal(240)
        p_values.append(clustered_rank_test(label, value, patients(80, 3)))
    assert kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.02)


def test_the_sign_of_the_difference_does_not_matter() -> None:
    random = np.random.default_rng(4)
    label = (np.arange(50) % 2).astype(float)
    value = random.standard_normal(50) + label
    assert auc(label, value, np.ones((1, 50)))[0] > 0.5
    assert clustered_rank_test(label, value, patients(50)) == pytest.approx(
        clustered_rank_test(label, -value, patients(50))
    )


def test_few_patients_cannot_prove_much() -> None:
    label = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    assert clustered_rank_test(label, label, patients(6)) > math.erfc(math.sqrt(6 / 2)) * 0.999


@pytest.mark.parametrize(
    ("label", "value", "names"),
    [
        ([1.0, 1.0], [1.0, 2.0], ["a", "b"]),
        ([0.0, 1.0], [1.0, 2.0], ["a", "a"]),
        ([0.0, 1.0, 1.0], [2.0, 2.0, 2.0], ["a", "b", "c"]),
        ([], [], []),
    ],
)
def test_what_cannot_be_tested_is_nan(label: list[float], value: list[float], names: list[str]) -> None:
    assert math.isnan(clustered_rank_test(np.array(label), np.array(value), names))
