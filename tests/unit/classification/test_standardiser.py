from __future__ import annotations

import numpy as np

from mammoflow.classification.standardiser import Standardiser


def test_known_values_gaps_and_constant_columns() -> None:
    training = np.array([[1.0, 7.0, np.nan, np.nan], [3.0, 7.0, 2.0, np.nan], [5.0, 7.0, 4.0, np.inf]])
    standardiser = Standardiser.fit(training)
    assert standardiser.kept.tolist() == [True, False, True, False]
    result = standardiser.transform(np.array([[3.0, 0.0, np.nan, 1.0], [1e9, 0.0, 4.0, 1.0]]))
    # the gap becomes the median 3, which is also the mean; the far value is cut off
    np.testing.assert_allclose(result, [[0.0, 0.0], [5.0, 1.0 / np.std([3.0, 2.0, 4.0])]], rtol=1e-6)


def test_small_but_varying_columns_are_kept() -> None:
    training = np.array([[1e-9], [2e-9], [3e-9]])
    result = Standardiser.fit(training).transform(training)
    np.testing.assert_allclose(result[:, 0], [-np.sqrt(1.5), 0, np.sqrt(1.5)], rtol=1e-5)
