"""Percentile intervals from a bootstrap over patients, for figures that have no interval in closed form.

Rows of one patient are not independent: two views of one lesion, two lesions of one breast. So whole patients are
drawn with replacement, and every row of a patient counts as often as the patient was drawn (the cluster bootstrap;
Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). Percentile intervals are too short
with few patients; areas under the ROC curve and proportions have the intervals of `mammoflow.evaluation.estimates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mammoflow.config.evaluation import IntervalSettings
from mammoflow.evaluation.metrics import FloatArray, IntArray, patient_codes, ratio

DRAWN_TOGETHER, SUMMED_TOGETHER = 128, 1024
"""Resamples that are drawn and summed at once, so that the numbers stay in the cache of the processor."""


@dataclass(frozen=True)
class Estimate:
    """A value with its interval.

    Attributes
    ----------
    value
        On the rows as they are.
    low, high
        Bounds of the interval; `nan` where there is none.
    resamples
        Number of resamples on which the value is defined; 0 for an interval in closed form.
    """

    value: float
    low: float
    high: float
    resamples: int = 0

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
    fewest_patients
        Patients below which there is no interval; of either class, where an interval needs both.
    """

    resamples: int
    confidence: float
    seed: int
    fewest_patients: int = 2

    @classmethod
    def of(cls, settings: IntervalSettings) -> PatientBootstrap:
        """Return the bootstrap that the settings describe."""
        return cls(settings.bootstrap, settings.confidence, settings.seed, settings.fewest_patients)

    def weights(self, patients: Sequence[str] | IntArray) -> FloatArray:
        """Return row weights (1 + resamples, rows): first every row once, then how often its patient was drawn.

        The draw depends on the seed and the number of patients alone, so models scored on the same rows share it and
        their differences are paired.
        """
        codes, number = patient_codes(patients)
        return self.draws(number)[:, codes].astype(np.float64)

    def draws(self, patients: int) -> FloatArray:
        """Return how often each of a number of patients counts, (1 + resamples, patients), in single precision."""
        return _drawn(patients, self.resamples, self.seed).T

    def ratios(self, numerator: FloatArray, denominator: FloatArray, patients: Sequence[str] | IntArray) -> FloatArray:
        """Return sums of some columns over sums of others, on the rows as they are and on each resample.

        Parameters
        ----------
        numerator, denominator
            (rows, columns).
        patients
            (rows,): the patient of each row.

        Returns
        -------
        ndarray
            (1 + resamples, columns); `nan` where the denominator is 0.
        """
        sums = self.sums(np.hstack([numerator, denominator]), patients)
        return ratio(sums[:, : numerator.shape[1]], sums[:, numerator.shape[1] :])

    def sums(self, values: FloatArray, patients: Sequence[str] | IntArray, single: bool = False) -> FloatArray:
        """Return sums over rows, on the rows as they are and on each resample.

        Rows are summed by patient first, so the time depends on the number of patients.

        Parameters
        ----------
        values
            (rows, columns).
        patients
            (rows,): the patient of each row.
        single
            Whether resamples are summed in single precision, which takes half the time and is exact for counts.

        Returns
        -------
        ndarray
            (1 + resamples, columns); the first row is summed in double precision in any case.
        """
        codes, number = patient_codes(patients)
        by_patient = np.zeros((number, values.shape[1]))
        if len(values):
            order = np.argsort(codes, kind="stable")
            starts = np.searchsorted(codes[order], np.arange(number))
            by_patient = np.add.reduceat(values[order], starts, axis=0)
        drawn = _drawn(number, self.resamples, self.seed)
        sums = np.empty((values.shape[1], drawn.shape[1]))
        if single:
            sums[:] = by_patient.T.astype(np.float32) @ drawn
        else:
            for start in range(0, drawn.shape[1], SUMMED_TOGETHER):
                part = slice(start, start + SUMMED_TOGETHER)
                np.matmul(by_patient.T, drawn[:, part].astype(np.float64), out=sums[:, part])
        sums[:, 0] = by_patient.sum(axis=0)
        return sums.T

    def estimate(self, values: FloatArray, patients: Sequence[str] | IntArray) -> Estimate:
        """Turn values on the rows as they are and on each resample, (1 + resamples,), into value and interval.

        Resamples on which the value is not defined are left out. There is no interval where they are at least half,
        where the value itself is not defined, where there are fewer patients than `fewest_patients`, or where all
        resamples have one value: an interval of zero width would claim to be certain.
        """
        defined = values[1:][np.isfinite(values[1:])]
        low = high = float("nan")
        fewest = max(self.fewest_patients, 2)
        if np.isfinite(values[0]) and 2 * len(defined) > self.resamples and patient_codes(patients)[1] >= fewest:
            tail = (1 - self.confidence) / 2
            low, high = (float(bound) for bound in np.quantile(defined, [tail, 1 - tail]))
            if high - low <= 1e-12 * max(abs(low), abs(high)):
                low = high = float("nan")
        return Estimate(float(values[0]), low, high, len(defined))

    def bounds(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the bounds of columns (1 + resamples, columns), as `estimate` gives them for one, but for rounding.

        The caller checks that there are enough patients.
        """
        resampled = values[1:].T
        tail = (1 - self.confidence) / 2
        last = resampled.shape[1] - 1
        ordered = np.sort(resampled, axis=1)
        low, high = (
            ordered[:, int(place)] + (place % 1) * (ordered[:, min(int(place) + 1, last)] - ordered[:, int(place)])
            for place in (tail * last, (1 - tail) * last)
        )
        for column in np.flatnonzero(~np.isfinite(resampled).all(axis=1)):
            one = self.estimate(values[:, column], np.arange(self.fewest_patients + 2))
            low[column], high[column] = one.low, one.high
        is_point = high - low <= 1e-6 * np.maximum(np.abs(low), np.abs(high))
        return np.where(is_point, np.nan, low), np.where(is_point, np.nan, high)

    def mean(self, values: FloatArray, patients: Sequence[str] | IntArray) -> Estimate:
        """Return the mean of values (rows,) with its interval; not defined without rows or with a single patient."""
        return self.estimate(self.ratios(values[:, None], np.ones((len(values), 1)), patients)[:, 0], patients)


@lru_cache(maxsize=4)
def _drawn(number: int, resamples: int, seed: int) -> FloatArray:
    """Return how often each patient counts, (patients, 1 + resamples): first once each, then as drawn."""
    counts = np.ones((number, 1 + resamples), dtype=np.float32)
    random, first = np.random.default_rng(seed), np.arange(DRAWN_TOGETHER)[:, None] * number
    for start in range(0, resamples if number else 0, DRAWN_TOGETHER):
        size = min(DRAWN_TOGETHER, resamples - start)
        chosen = random.integers(number, size=(size, number)) + first[:size]
        found = np.bincount(chosen.ravel(), minlength=size * number).reshape(size, number)
        counts[:, 1 + start : 1 + start + size] = found.T
    counts.flags.writeable = False
    return counts
