"""The AUC within folds, held to the published formula and to the AUC of each fold."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mammoflow.evaluation.delong import area
from mammoflow.evaluation.estimates import Scored
from mammoflow.evaluation.within_folds import within_folds_area, within_folds_difference


def made_up(patients: int = 200, folds: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return label, score, patients and folds; two lesions each, as many patients of each class in each fold."""
    random = np.random.default_rng(3)
    names = np.repeat(np.arange(patients), 2)
    label = (names // folds % 2).astype(float)
    fold = names % folds
    score = label + random.normal(0, 1, patients)[names] + random.normal(0, 0.7, 2 * patients) + 3 * fold
    return label, score, names, fold


def test_the_value_is_the_mean_over_folds_and_the_scale_of_a_fold_does_not_matter() -> None:
    label, score, patients, folds = made_up()
    expected = np.mean([roc_auc_score(label[folds == fold], score[folds == fold]) for fold in range(5)])
    found = within_folds_area(label, [score], patients, folds)
    assert found.value == pytest.approx(expected)
    assert area(label, [score], patients).value < expected - 0.05
    moved = within_folds_area(label, [np.where(folds == 2, 10 * score - 4, score)], patients, folds)
    assert (moved.value, moved.error) == pytest.approx((found.value, found.error))


def test_the_error_is_that_of_the_published_influence_curves() -> None:
    label, score, patients, folds = made_up()
    curve = np.zeros(len(label))
    of_fold = [roc_auc_score(label[folds == fold], score[folds == fold]) for fold in range(5)]
    for row in range(len(label)):  # LeDell, Petersen and van der Laan 2015, section 3
        mine = folds == folds[row]
        others = score[mine & (label != label[row])]
        ranked = np.mean(score[row] > others if label[row] else others > score[row])
        curve[row] = (ranked - of_fold[folds[row]]) / np.mean(label == label[row])
    by_patient = np.bincount(patients, weights=curve)
    expected = np.sqrt((by_patient**2).sum()) / len(label)
    # The paper divides by n. Each fold has 20 patients of each class, one of whom the mean of the fold takes.
    expected *= np.sqrt(20 / 19)
    assert within_folds_area(label, [score], patients, folds).error == pytest.approx(expected, rel=0.001)


def test_one_fold_is_the_area_itself() -> None:
    label, score, patients, _ = made_up()
    one = np.zeros(len(label), dtype=int)
    seeds = [score, score + np.random.default_rng(1).normal(0, 1, len(score))]
    first, second = within_folds_area(label, seeds, patients, one), area(label, seeds, patients)
    assert (first.value, first.error, first.freedom) == pytest.approx((second.value, second.error, second.freedom))


def test_each_fold_counts_with_its_own_number_of_patients() -> None:
    random = np.random.default_rng(4)
    label, folds = np.tile([0.0] * 5 + [1.0] * 5, 5), np.repeat(np.arange(5), 10)
    score, patients = label + random.normal(0, 1, 50), np.arange(50)
    parts = [area(label[folds == fold], [score[folds == fold]], patients[folds == fold]) for fold in range(5)]
    found = within_folds_area(label, [score], patients, folds)
    assert found.error == pytest.approx(np.sqrt(sum(part.error**2 for part in parts)) / 5)
    assert max(part.freedom for part in parts) < found.freedom <= sum(part.freedom for part in parts)
    other = label + random.normal(0, 1, 50)
    difference = within_folds_difference(*(Scored(label, [one], [label], patients) for one in (score, other)), folds)
    assert found.freedom / 2 < difference.freedom < 2 * found.freedom


def test_a_fold_with_one_patient_of_a_class_has_a_value_and_no_interval() -> None:
    random = np.random.default_rng(5)
    label, folds = np.tile([1.0] + [0.0] * 20, 5), np.repeat(np.arange(5), 21)
    score, patients = label + random.normal(0, 1, 105), np.arange(105)
    found = within_folds_area(label, [score], patients, folds)
    assert 0.5 < found.value < 1
    assert np.isnan(found.interval(0.95)).all()
    said = [Scored(label, [one], [label], patients) for one in (score, score + random.normal(0, 1, 105))]
    assert np.isnan(within_folds_difference(*said, folds).p_value)


def test_the_difference_is_paired_and_nothing_is_said_where_a_fold_lacks_a_class() -> None:
    label, score, patients, folds = made_up()
    other = score + np.random.default_rng(0).normal(0, 0.01, len(score))
    near, far = (Scored(label, [values], [label], patients) for values in (other, -score))
    first = Scored(label, [score], [label], patients)
    assert within_folds_difference(first, first, folds).p_value != within_folds_difference(first, first, folds).p_value
    small, large = (within_folds_difference(first, one, folds) for one in (near, far))
    assert small.error < 0.1 * large.error
    assert large.value == pytest.approx(2 * within_folds_area(label, [score], patients, folds).value - 1)
    parted = np.where(label == 1, 0, folds)
    assert np.isnan(within_folds_area(label, [score], patients, parted).value)
