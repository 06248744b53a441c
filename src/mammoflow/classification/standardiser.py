"""Feature vectors made comparable, with everything that is estimated taken from training rows only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
LARGEST = 5.0
"""Standard deviations beyond which a value is cut off: one extreme lesion must not drown the others."""


@dataclass(frozen=True)
class Standardiser:
    """Median imputation and standardisation, learnt from some rows and applied to all.

    Attributes
    ----------
    kept
        (columns,) True for columns that vary.
    median, mean, deviation
        (kept columns,)
    """

    kept: npt.NDArray[np.bool_]
    median: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]

    @classmethod
    def fit(cls, training: Matrix) -> Standardiser:
        """Learn from training rows (rows, columns); columns without a finite value or nearly constant are dropped."""
        finite = np.isfinite(training)
        median = np.array(
            [np.median(column[ok]) if ok.any() else 0.0 for column, ok in zip(training.T, finite.T, strict=True)]
        )
        filled = np.where(finite, training, median)
        mean, deviation = filled.mean(axis=0), filled.std(axis=0)
        varying = deviation > 1e-6 * np.maximum(np.abs(mean), 1e-12)
        return cls(varying, median[varying], mean[varying], deviation[varying])

    def transform(self, matrix: Matrix) -> npt.NDArray[np.float32]:
        """Return the kept columns (rows, kept), standardised, without gaps, cut off at five deviations."""
        values = matrix[:, self.kept]
        filled = np.where(np.isfinite(values), values, self.median)
        return np.clip((filled - self.mean) / self.deviation, -LARGEST, LARGEST).astype(np.float32)
