"""Percentile intervals from a bootstrap over patients.

Rows of one patient are not independent: two views of one lesion, two lesions of one breast. So whole patients are
drawn with replacement, and every row of a patient counts as often as the patient was drawn (the cluster bootstrap;
Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mammoflow.evaluation.metrics import FloatArray, ratio


@dataclass(frozen=True)
class Estimate:
    """A value with its percentile interval.

    Attributes
    ----------
    value
        On the rows as they are.
    low, high
        Bounds of the interval; `nan` where it is not defined.
    resamples
        Number of resamples on which the value is defined.
    """

    value: float
    low: float
    high: float
    resamples: int

    def columns(self, name: str) -> dict[str, float]:
        """Return the value and its bounds as table columns `name`, `name_low`, `name_high`."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


@dataclass(frozen=True)
class PatientBootstrap:
    """Resampling of patients that is the same for every model scored on the same patients.

    Attributes
    ----------
    resamples
        Number of resamples behind an interval.
    confidence
        Coverage of the intervals, between 0 and 1.
    seed
        Seed of the draw.
    """

    resamples: int
    confidence: float
    seed: int

    def weights(self, patients: Sequence[str]) -> FloatArray:
        """Return row weights (1 + resamples, rows): first every row once, then how often its patient was drawn.

        The draw depends on the seed and the number of patients alone, so models scored on the same rows share it and
        their differences are paired.
        """
        return _weights(tuple(patients), self.resamples, self.seed)

    def estimate(self, values: FloatArray, patients: Sequence[str]) -> Estimate:
        """Turn values on the rows as they are and on each resample, (1 + resamples,), into value and interval.

        Resamples on which the value is not defined are left out. The interval is not defined where they are at least
        half, where the value itself is not, or where all resamples are the same one (a single patient).
        """
        defined = values[1:][np.isfinite(values[1:])]
        low = high = float("nan")
        if np.isfinite(values[0]) and 2 * len(defined) > self.resamples and len(set(patients)) > 1:
            tail = (1 - self.confidence) / 2
            low, high = (float(bound) for bound in np.quantile(defined, [tail, 1 - tail]))
        return Estimate(float(values[0]), low, high, len(defined))

    def mean(self, values: FloatArray, patients: Sequence[str]) -> Estimate:
        """Return the mean of values (rows,) with its interval; not defined without rows or with a single patient."""
        weights = self.weights(patients)
        return self.estimate(ratio(weights @ values, weights.sum(axis=1)), patients)


@lru_cache(maxsize=4)
def _weights(patients: tuple[str, ...], resamples: int, seed: int) -> FloatArray:
    """Draw patients; kept for a while, because one model after the other is scored on the same rows."""
    names, position = np.unique(np.asarray(patients, dtype=object).astype(str), return_inverse=True)
    if len(names) == 0:
        return np.ones((1 + resamples, 0))
    share = np.full(len(names), 1 / len(names))
    drawn = np.random.default_rng(seed).multinomial(len(names), share, size=resamples)
    weights = np.vstack([np.ones((1, len(position))), drawn[:, position]]).astype(np.float64)
    weights.flags.writeable = False
    return weights
