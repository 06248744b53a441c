"""FROC curves against cases counted by hand and against a slow count of every cut."""

from __future__ import annotations

import numpy as np
import pytest

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.froc import Marks, froc_curve, sensitivity_estimates

BOOTSTRAP = PatientBootstrap(resamples=200, confidence=0.95, seed=1)

# Four images of three patients: 0 has images A (two lesions) and B, 1 has C (one lesion), 2 has D.
# A: .9 hits, .8 wrong, .6 hits; B: .7 wrong; C: .5 wrong, its lesion is missed; D: nothing.
MARKS = Marks(
    patients=["P1", "P2", "P3"],
    images=np.array([0, 0, 1, 2]),
    lesions=np.array([0, 0, 1]),
    lesion_scores=np.array([0.9, 0.6, -np.inf]),
    false_positives=np.array([0, 0, 1]),
    false_positive_scores=np.array([0.8, 0.7, 0.5]),
)


def test_points_counted_by_hand() -> None:
    curve = froc_curve(MARKS, np.ones((1, 3)))
    assert curve.cuts.tolist() == [np.inf, 0.9, 0.8, 0.7, 0.6, 0.5]
    assert curve.false_positives[0].tolist() == [0, 0, 0.25, 0.5, 0.5, 0.75]
    assert curve.sensitivity[0].tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 2 / 3, 2 / 3])


@pytest.mark.parametrize(("most", "expected"), [(0, 1 / 3), (0.25, 1 / 3), (0.49, 1 / 3), (0.5, 2 / 3), (4, 2 / 3)])
def test_sensitivity_at_stated_false_positives(most: float, expected: float) -> None:
    assert froc_curve(MARKS, np.ones((1, 3))).sensitivity_at(most)[0] == pytest.approx(expected)


def test_a_patient_drawn_twice_counts_twice() -> None:
    # P1 twice, P2 not at all, P3 once: five images, four lesions, all of P1.
    curve = froc_curve(MARKS, np.array([[2.0, 0.0, 1.0]]))
    assert curve.false_positives[0].tolist() == pytest.approx([0, 0, 0.4, 0.8, 0.8, 0.8])
    assert curve.sensitivity[0].tolist() == [0, 0.5, 0.5, 0.5, 1, 1]


def test_sensitivity_is_0_where_the_first_cut_has_too_many_false_positives() -> None:
    marks = Marks(["P1"], np.array([0]), np.array([0]), np.array([0.3]), np.array([0, 0]), np.array([0.9, 0.9]))
    assert froc_curve(marks, np.ones((1, 1))).sensitivity_at(1.0).tolist() == [0.0]


def test_components_of_one_score_are_accepted_together() -> None:
    marks = Marks(["P1"], np.array([0]), np.array([0]), np.array([0.9]), np.array([0]), np.array([0.9]))
    curve = froc_curve(marks, np.ones((1, 1)))
    assert curve.cuts.tolist() == [np.inf, 0.9]
    assert curve.sensitivity_at(0.5).tolist() == [0.0]
    assert curve.sensitivity_at(1.0).tolist() == [1.0]


def test_a_model_that_marks_nothing_has_sensitivity_0() -> None:
    marks = Marks(["P1"], np.array([0]), np.array([0]), np.array([-np.inf]), np.array([], int), np.array([]))
    assert froc_curve(marks, np.ones((1, 1))).sensitivity_at(1.0).tolist() == [0.0]


def test_without_lesions_nothing_is_defined() -> None:
    marks = Marks(["P1"], np.array([0]), np.array([], int), np.array([]), np.array([0]), np.array([0.9]))
    assert np.isnan(froc_curve(marks, np.ones((1, 1))).sensitivity_at(1.0)).all()


def test_without_lesions_and_marks_nothing_is_defined() -> None:
    marks = Marks(["P1"], np.array([0]), np.array([], int), np.array([]), np.array([], int), np.array([]))
    assert np.isnan(froc_curve(marks, np.ones((1, 1))).sensitivity_at(1.0)).all()


def test_curve_equals_a_slow_count() -> None:
    random = np.random.default_rng(3)
    marks = Marks(
        patients=[f"P{number}" for number in range(6)],
        images=random.integers(0, 6, 20),
        lesions=random.integers(0, 6, 15),
        lesion_scores=np.where(random.random(15) < 0.3, -np.inf, random.integers(0, 10, 15) / 10),
        false_positives=random.integers(0, 6, 25),
        false_positive_scores=random.integers(0, 10, 25) / 10,
    )
    weights = random.integers(0, 3, (4, 6)).astype(float) + 0.5
    curve = froc_curve(marks, weights)
    for row, weight in enumerate(weights):
        for place, cut in enumerate(curve.cuts):
            wrong = weight[marks.false_positives][marks.false_positive_scores >= cut].sum()
            hits = weight[marks.lesions][marks.lesion_scores >= cut].sum()
            assert curve.false_positives[row, place] == pytest.approx(wrong / weight[marks.images].sum())
            assert curve.sensitivity[row, place] == pytest.approx(hits / weight[marks.lesions].sum())


def test_estimates_come_from_the_shared_draw_of_patients() -> None:
    (estimate,) = sensitivity_estimates(MARKS, [0.5], BOOTSTRAP)
    values = [froc_curve(MARKS, row[None]).sensitivity_at(0.5)[0] for row in BOOTSTRAP.weights(MARKS.patients)[1:]]
    low, high = np.nanquantile(values, [0.025, 0.975])
    assert estimate.value == pytest.approx(2 / 3)
    assert (estimate.low, estimate.high) == pytest.approx((low, high))
    assert estimate.resamples == np.isfinite(values).sum() < 200


def test_no_interval_comes_from_too_few_patients_with_a_lesion() -> None:
    rule = PatientBootstrap(resamples=200, confidence=0.95, seed=1, fewest_patients=3)
    (estimate,) = sensitivity_estimates(MARKS, [0.5], rule)  # two of the three patients have a lesion
    assert estimate.value == pytest.approx(2 / 3)
    assert np.isnan([estimate.low, estimate.high]).all()
