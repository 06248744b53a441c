"""Covariates are columns of 0 and 1 of the values that training lesions have."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mammoflow.classification.cases import Cases
from mammoflow.classification.covariates import covariate_vectors
from mammoflow.classification.vectors import FeatureVectors


def cases() -> Cases:
    lesions = pd.DataFrame(
        {
            "lesion_type": ["mass", "calcification", "mass", "unknown", "other"],
            "density": pd.array([1, 2, 2, None, 4], dtype="Int64"),
            "view": ["CC"] * 5,
        }
    )
    return Cases(lesions, pd.DataFrame())


def test_each_value_of_training_is_a_column_and_unknown_ones_are_none() -> None:
    vectors = covariate_vectors(["lesion_type", "density", "view"], cases(), np.array([0, 1, 2, 3]))
    assert vectors.columns == ["lesion_type=calcification", "lesion_type=mass", "density=1", "density=2"]
    expected = [[0, 1, 1, 0], [1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(vectors.values, expected)
    assert vectors.values.dtype == np.float32


def test_a_covariate_that_does_not_vary_adds_no_column() -> None:
    vectors = covariate_vectors(["view"], cases(), np.arange(5))
    assert (vectors.columns, vectors.values.shape) == ([], (5, 0))


def test_covariates_follow_the_features() -> None:
    features = FeatureVectors(np.full((5, 2), 7, np.float32), ["a", "b"], 3)
    joined = features.joined(covariate_vectors(["density"], cases(), np.arange(3)))
    assert joined.columns == ["a", "b", "density=1", "density=2"]
    np.testing.assert_array_equal(joined.values[1], [7, 7, 0, 1])
    assert joined.missing == 3
