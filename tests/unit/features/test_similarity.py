from __future__ import annotations

import math

import numpy as np
import pytest

from mammoflow.features.similarity import cosine_similarity


def test_known_angles():
    assert cosine_similarity(np.array([1.0, 0.0]), np.array([1.0, 1.0])) == pytest.approx(math.cos(math.pi / 4))
    assert cosine_similarity(np.array([1.0, 0.0]), np.array([0.0, 3.0])) == 0
    assert cosine_similarity(np.array([2.0, 1.0]), np.array([-4.0, -2.0])) == pytest.approx(-1)


def test_length_of_the_vectors_does_not_matter():
    vector = np.array([0.3, 2.0, 5.0])
    assert cosine_similarity(vector, 1e-6 * vector) == pytest.approx(1)


def test_entries_that_one_side_lacks_are_left_out():
    first = np.array([1.0, np.nan, 2.0, 7.0])
    second = np.array([2.0, 5.0, 4.0, np.nan])
    assert cosine_similarity(first, second) == pytest.approx(1)


def test_nothing_to_compare_is_nan():
    assert math.isnan(cosine_similarity(np.zeros(3), np.ones(3)))
    assert math.isnan(cosine_similarity(np.full(2, np.nan), np.ones(2)))
