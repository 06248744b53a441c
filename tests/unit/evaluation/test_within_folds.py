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
    assert within_folds_area(label, [score], patients, folds).error == pytest.approx(expected, rel=0.01)


def test_one_fold_is_the_area_itself() -> None:
    label, score, patients, _ = made_up()
    one = np.zeros(len(label), dtype=int)
    first, second = within_folds_area(label, [score, -score], patients, one), area(label, [score, -score], patients)
    assert (first.value, first.error, first.freedom) == pytest.approx((second.value, second.error, second.freedom))


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
