from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from mammoflow.evaluation.metrics import auc, confusion, measure

ONE = np.ones((1, 4))


def brute_force_auc(label: np.ndarray, score: np.ndarray) -> float:
    pairs = [(m, b) for m in score[label == 1] for b in score[label == 0]]
    return float(np.mean([1.0 if m > b else 0.5 if m == b else 0.0 for m, b in pairs]))


def test_known_answers() -> None:
    label = np.array([1.0, 1, 0, 0, 0, 1])
    predicted = np.array([1.0, 0, 1, 0, 0, 1])
    score = np.array([0.9, 0.4, 0.6, 0.4, 0.1, 0.8])
    values = {name: float(value[0]) for name, value in measure(label, score, predicted, np.ones((1, 6))).items()}
    assert values["accuracy"] == pytest.approx(4 / 6)
    assert values["precision"] == pytest.approx(2 / 3)
    assert values["recall"] == pytest.approx(2 / 3)
    assert values["specificity"] == pytest.approx(2 / 3)
    assert values["f1"] == pytest.approx(2 / 3)
    # Of nine pairs the malignant .4 loses to .6 and ties with .4.
    assert values["auc"] == pytest.approx(7.5 / 9)


def test_confusion_counts_each_cell() -> None:
    counts = confusion(np.array([1.0, 1, 0, 0]), np.array([1.0, 0, 1, 0]), np.array([[1.0, 2, 3, 4]]))
    assert [float(counts[name][0]) for name in counts] == [1, 3, 2, 4]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=25))
def test_weighted_auc_is_the_auc_of_repeated_rows(rows: list[tuple[bool, int, int]]) -> None:
    label, score, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    repeated = np.repeat(np.arange(len(rows)), weight.astype(int))
    found = auc(label, score, weight[None])[0]
    if len(set(label[repeated])) < 2:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(brute_force_auc(label[repeated], score[repeated]))


def test_every_metric_agrees_with_an_independent_implementation() -> None:
    random = np.random.default_rng(3)
    label = (random.random(200) < 0.4).astype(float)
    score = np.round(random.random(200) + 0.3 * label, 1)
    predicted = (score > 0.6).astype(float)
    weights = random.integers(0, 4, (5, 200)).astype(float)
    found = measure(label, score, predicted, weights)
    for row, weight in enumerate(weights):
        options = {"sample_weight": weight}
        assert found["accuracy"][row] == pytest.approx(reference.accuracy_score(label, predicted, **options))
        assert found["precision"][row] == pytest.approx(reference.precision_score(label, predicted, **options))
        assert found["recall"][row] == pytest.approx(reference.recall_score(label, predicted, **options))
        assert found["f1"][row] == pytest.approx(reference.f1_score(label, predicted, **options))
        assert found["auc"][row] == pytest.approx(reference.roc_auc_score(label, score, **options))


@pytest.mark.parametrize(
    ("label", "predicted", "undefined"),
    [
        ([1, 1, 0, 0], [0, 0, 0, 0], {"precision"}),
        ([0, 0, 0, 0], [1, 0, 0, 0], {"recall", "auc"}),
        ([0, 0, 0, 0], [0, 0, 0, 0], {"recall", "auc", "precision", "f1"}),
        ([1, 1, 1, 1], [1, 1, 0, 1], {"specificity", "auc"}),
    ],
)
def test_what_is_not_defined_is_nan(label: list[int], predicted: list[int], undefined: set[str]) -> None:
    values = measure(np.array(label, float), np.arange(4.0), np.array(predicted, float), ONE)
    assert {name for name, value in values.items() if np.isnan(value[0])} == undefined


def test_no_rows_give_nan_everywhere() -> None:
    empty = np.zeros(0)
    values = measure(empty, empty, empty, np.ones((3, 0)))
    assert all(np.isnan(value).all() and len(value) == 3 for value in values.values())


def test_counts_of_patients_in_single_precision_give_what_rows_in_double_precision_give() -> None:
    random = np.random.default_rng(0)
    patients = random.integers(60, size=300)
    label = random.integers(2, size=300).astype(float)
    score = np.round(random.normal(label, 1.5), 1)  # with ties
    predicted = (score > 0.5).astype(float)
    counts = random.multinomial(60, np.full(60, 1 / 60), size=40)
    counts[0] *= 400  # more pairs than are exact in single precision
    of_rows = measure(label, score, predicted, counts[:, patients].astype(np.float64))
    of_patients = measure(label, score, predicted, counts.astype(np.float32), patients)
    for name, values in of_rows.items():
        np.testing.assert_allclose(of_patients[name], values, rtol=1e-12, err_msg=name)
