from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t
from sklearn.metrics import roc_auc_score

from mammoflow.evaluation.delong import AreaDifference, area_difference, components
from mammoflow.evaluation.metrics import auc


def own_patients(count: int) -> list[str]:
    return [f"P{number}" for number in range(count)]


def made_up(
    seed: int, patients: int = 60, each: int = 3, paired: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Return label, two scores and patients; what is particular to a patient moves the scores of all its lesions.

    Most patients have lesions of one class; `paired` gives each as many malignant as benign ones.
    """
    random = np.random.default_rng(seed)
    names = np.repeat(np.arange(patients), each)
    label = (random.random(patients) < 0.5)[names] ^ (random.random(len(names)) < 0.1)
    if paired:
        label = np.arange(len(names)) % 2 == 1
    first, second = (label + random.normal(0, 1, patients)[names] + random.normal(0, 0.4, len(names)) for _ in range(2))
    return label.astype(float), first, second, [f"P{name}" for name in names]


def test_components_average_to_the_area_with_ties_and_over_seeds() -> None:
    random = np.random.default_rng(1)
    label = random.integers(0, 2, 50).astype(float)
    scores = [random.integers(0, 6, 50).astype(float) + label for _ in range(3)]
    found = components(label, scores)
    expected = np.mean([roc_auc_score(label, score) for score in scores])
    assert found[label == 1].mean() == pytest.approx(expected)
    assert found[label == 0].mean() == pytest.approx(expected)


def delong_by_the_book(label: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Return the standard error of the difference for independent lesions, pair by pair (DeLong 1988, formula 5)."""
    of_malignant, of_benign = [], []
    for score in (first, second):
        malignant, benign = score[label == 1], score[label == 0]
        kernel = np.array([[(one > other) + 0.5 * (one == other) for other in benign] for one in malignant])
        of_malignant.append(kernel.mean(axis=1))
        of_benign.append(kernel.mean(axis=0))
    covariance = np.cov(of_malignant) / len(of_malignant[0]) + np.cov(of_benign) / len(of_benign[0])
    return float(np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]))


def test_one_lesion_a_patient_gives_the_test_for_independent_lesions() -> None:
    label, first, second, _ = made_up(2, patients=20)
    second = np.round(second)
    found = area_difference(label, components(label, [first]), components(label, [second]), own_patients(len(label)))
    assert found.value == pytest.approx(roc_auc_score(label, first) - roc_auc_score(label, second))
    assert found.error == pytest.approx(delong_by_the_book(label, first, second))
    assert min((label == 1).sum(), (label == 0).sum()) - 1 <= found.freedom <= len(label) - 2
    assert found.p_value == pytest.approx(2 * t.sf(abs(found.value) / found.error, found.freedom))
    low, high = found.interval(0.95)
    assert (high - low) / 2 == pytest.approx(t.ppf(0.975, found.freedom) * found.error)
    assert found.non_inferiority_p(0.1) == pytest.approx(t.sf((found.value + 0.1) / found.error, found.freedom))


def test_lesions_that_are_there_twice_say_no_more() -> None:
    label, first, second, patients = made_up(3)
    once = area_difference(label, components(label, [first]), components(label, [second]), patients)
    twice = [np.concatenate([values, values]) for values in (label, first, second)]
    ranked = [components(twice[0], [score]) for score in twice[1:]]
    assert area_difference(twice[0], *ranked, patients * 2).error == pytest.approx(once.error)
    as_independent = area_difference(twice[0], *ranked, own_patients(len(twice[0])))
    assert as_independent.error < 0.75 * once.error


def bootstrap_error(label: np.ndarray, first: np.ndarray, second: np.ndarray, patients: list[str]) -> float:
    names, place = np.unique(patients, return_inverse=True)
    drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), size=2000)
    weights = drawn[:, place].astype(float)
    return float((auc(label, first, weights) - auc(label, second, weights)).std())


@pytest.mark.parametrize("paired", [False, True])
def test_the_error_is_that_of_a_bootstrap_over_patients(paired: bool) -> None:
    label, first, second, patients = made_up(4, patients=150, each=4, paired=paired)
    ranked = components(label, [first]), components(label, [second])
    clustered = area_difference(label, *ranked, patients).error
    independent = area_difference(label, *ranked, own_patients(len(label))).error
    expected = bootstrap_error(label, first, second, patients)
    assert clustered == pytest.approx(expected, rel=0.06)
    # What lesions of a patient share adds to the error within a class, and cancels between the classes.
    assert independent > 1.15 * expected if paired else independent < 0.85 * expected


def test_equal_models_are_told_apart_as_often_as_the_level_says() -> None:
    rejected = 0
    for seed in range(300):
        random = np.random.default_rng(seed)
        label, _, _, patients = made_up(seed, patients=80)
        shared = label + np.repeat(random.normal(0, 1, 80), 3)
        scores = [shared + np.repeat(random.normal(0, 1, 80), 3) + random.normal(0, 0.3, 240) for _ in range(2)]
        ranked = [components(label, [score]) for score in scores]
        rejected += area_difference(label, *ranked, patients).p_value < 0.05
    assert 5 <= rejected <= 28


def test_few_patients_keep_the_level() -> None:
    rejected = 0
    for seed in range(400):
        random = np.random.default_rng(seed)
        label = np.repeat([0.0, 1.0], 6)
        ranked = [components(label, [label + random.normal(0, 1, 12)]) for _ in range(2)]
        rejected += area_difference(label, *ranked, own_patients(12)).p_value < 0.05
    assert rejected / 400 <= 0.065


def test_what_is_not_defined_has_no_p_value() -> None:
    label, first, second, patients = made_up(5)
    same = components(label, [first])
    assert np.isnan(area_difference(label, same, same, patients).p_value)
    other = components(label, [second])
    for names in (["P0"] * len(label), np.where(label == 1, "P0", "P1").tolist()):
        found = area_difference(label, same, other, names)
        assert np.isfinite(found.value)
        assert np.isnan(found.p_value)
        assert np.isnan(found.interval(0.95)).all()
    assert np.isnan(area_difference(np.ones(3), np.ones(3), np.ones(3), patients[:3]).value)


def test_a_difference_of_areas_has_bounds_from_minus_1_to_1() -> None:
    few = AreaDifference(0.9, 0.5, 0.4, 1.0)
    assert few.interval(0.95) == (-1.0, 1.0)
    low, high = AreaDifference(0.9, 0.5, 0.1, 100.0).interval(0.95)
    assert (low + high) / 2 == pytest.approx(0.4)
