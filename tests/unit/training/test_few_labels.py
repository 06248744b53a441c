"""Which patients keep their labels, and how many batches an epoch has."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mammoflow.config.few_labels import FewLabelsSettings
from mammoflow.training.batching import epoch_batches
from mammoflow.training.few_labels import LabelCounts, drawn_patients

STRATA = {f"study/P{number:03d}": "malignant" if number % 4 == 0 else "benign" for number in range(200)}
SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)


def test_smaller_shares_are_part_of_larger_ones_and_strata_keep_their_share() -> None:
    drawn = [drawn_patients(STRATA, share, draw=3) for share in SHARES]
    assert [len(patients) for patients in drawn] == [10, 20, 40, 100, 200]
    for smaller, larger in itertools.pairwise(drawn):
        assert smaller < larger
    for patients in drawn:
        malignant = sum(STRATA[patient] == "malignant" for patient in patients)
        assert abs(malignant - len(patients) / 4) <= 1


def test_draws_differ_and_do_not_depend_on_the_order_of_the_patients() -> None:
    first, second = (drawn_patients(STRATA, 0.1, draw) for draw in (0, 1))
    assert len(first & second) < 10
    assert drawn_patients(dict(reversed(STRATA.items())), 0.1, 0) == first


def test_at_least_one_patient_keeps_the_labels() -> None:
    assert len(drawn_patients({"a": "x", "b": "x"}, 0.01, 0)) == 1


def test_the_record_says_share_draw_and_counts() -> None:
    settings = FewLabelsSettings(fraction=0.1, draw=2)
    assert LabelCounts(7, 63).facts(settings) == {
        "label_fraction": 0.1,
        "label_draw": 2,
        "labelled_patients": 7,
        "unlabelled_patients": 63,
    }


@pytest.mark.parametrize(("rows", "number"), [(5, 4), (30, 4)])
def test_an_epoch_has_as_many_batches_as_wanted(rows: int, number: int) -> None:
    batches = epoch_batches(np.arange(rows), 3, number, np.random.default_rng(0))
    assert [len(batch) for batch in batches] == [3] * number
    counts = np.bincount(np.concatenate(batches), minlength=rows)
    assert counts.max() - counts.min() <= 1  # every row as often as the others


def test_an_epoch_without_a_number_uses_each_row_once() -> None:
    batches = epoch_batches(np.arange(7), 3, None, None)
    assert [batch.tolist() for batch in batches] == [[0, 1, 2], [3, 4, 5, 6]]
