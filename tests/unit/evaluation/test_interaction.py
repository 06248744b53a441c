"""The test whether the AUC differs between groups, and its adjustment."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t
from statsmodels.stats.multitest import multipletests

from mammoflow.evaluation.delong import Area, area, components
from mammoflow.evaluation.interaction import area_influence, false_discovery_rates, heterogeneity, joined_freedom


def group(
    random: np.random.Generator, patients: np.ndarray, shift: float, effect: np.ndarray
) -> tuple[np.ndarray, ...]:
    label = (random.random(len(patients)) < 0.5).astype(float)
    return label, shift * label + effect[patients] + random.normal(0, 1, len(patients)), patients


def wald(groups: list[tuple[np.ndarray, ...]], number: int) -> tuple[float, int, float]:
    areas, influences = [], []
    for label, score, patients in groups:
        areas.append(area(label, [score], patients))
        found = components(label, [score])
        influences.append(area_influence(label, found, patients, number, areas[-1].error))
    result = heterogeneity(areas, influences)
    return result.statistic, result.freedom, result.p_value


def test_two_groups_of_different_patients_give_the_test_of_two_independent_areas() -> None:
    random = np.random.default_rng(0)
    first = group(random, np.arange(200), 0.8, np.zeros(400))
    second = group(random, np.arange(200, 400), 1.6, np.zeros(400))
    one, other = (area(label, [score], patients) for label, score, patients in (first, second))
    statistic = (one.value - other.value) / np.hypot(one.error, other.error)
    found = wald([first, second], 400)
    assert found[0] == pytest.approx(statistic**2)
    assert found[1] == 1
    assert found[2] == pytest.approx(2 * t.sf(abs(statistic), joined_freedom([one, other])))
    assert min(one.freedom, other.freedom) < joined_freedom([one, other]) <= one.freedom + other.freedom


def test_few_patients_keep_the_level_and_have_students_test() -> None:
    rejected = 0
    for seed in range(300):
        random = np.random.default_rng(seed)
        groups = []
        for first in (0, 12):
            label = np.tile([0.0, 1.0], 6)
            groups.append((label, 0.5 * label + random.normal(0, 1, 12), np.arange(first, first + 12)))
        rejected += wald(groups, 24)[2] < 0.05
    assert rejected / 300 <= 0.075


def test_a_group_whose_classes_are_parted_says_nothing_of_its_error() -> None:
    random = np.random.default_rng(2)
    large = [group(random, np.arange(10, 210), shift, np.zeros(210)) for shift in (1.0, 1.0)]
    perfect = (np.repeat([0.0, 1.0], 5), np.arange(10.0), np.arange(10))
    assert np.isnan(wald([perfect, large[0]], 210)[2])
    assert wald([perfect, *large], 210) == pytest.approx(wald(large, 210))


def test_shared_patients_count_and_the_test_keeps_its_size() -> None:
    rejected = 0
    for seed in range(150):
        random = np.random.default_rng(seed)
        effect = random.normal(0, 1.5, 60)
        groups = [group(random, np.repeat(np.arange(60), 2), 1.0, effect) for _ in range(3)]
        rejected += wald(groups, 60)[2] < 0.05
    assert 0.02 <= rejected / 150 <= 0.10


def test_a_large_difference_is_found_and_one_group_has_no_test() -> None:
    random = np.random.default_rng(1)
    groups = [group(random, np.arange(100), shift, np.zeros(100)) for shift in (0.0, 3.0)]
    assert wald(groups, 100)[2] < 1e-6
    assert wald(groups[:1], 100)[1] == 0
    same = np.ones(4)
    nothing = Area(0.5, 0.0, np.nan, 2, 2)
    assert np.isnan(heterogeneity([nothing, nothing], [0 * same, 0 * same]).p_value)


def test_rates_are_those_of_statsmodels_and_what_has_no_test_does_not_count() -> None:
    p_values = {("size", "a"): 0.01, ("size", "b"): 0.03, ("view", "a"): float("nan"), ("view", "b"): 0.5}
    found = false_discovery_rates(p_values)
    expected = multipletests([0.01, 0.03, 0.5], method="fdr_bh")[1]
    assert [found[key] for key in p_values if key != ("view", "a")] == pytest.approx(expected)
    assert np.isnan(found["view", "a"])
    assert false_discovery_rates({}) == {}
