"""Proportions with intervals where rows may share patients: accuracy, recall, precision and what is alike.

Lesions of one patient are often all right or all wrong together, so a proportion over lesions says less than its number
of lesions. Its variance over patients gives the effective number of lesions, which goes into Wilson's interval (Journal
of the American Statistical Association 22, 1927) in the place of the number of lesions, as in surveys (Korn and
Graubard, Survey Methodology 24, 1998; Dean and Pagano, Journal of Survey Statistics and Methodology 3, 2015). Wilson's
interval is never of zero width, also not for 21 of 21.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from mammoflow.evaluation.metrics import FloatArray, IntArray, patient_codes

PSEUDO_PATIENTS = 3
"""Weight of the largest design effect, in patients; with fewer, a first error can move the lower bound up."""


@dataclass(frozen=True)
class Proportion:
    """A proportion over rows that share patients, as a mean over seeds.

    Attributes
    ----------
    value
        0 to 1; `nan` where it is not defined for a seed.
    n
        Number of rows that it is over; the mean over seeds where these differ.
    n_effective
        Number of independent rows that would say as much.
    patients
        Number of patients with such a row.
    influence
        (patients of the whole,): what each patient adds to the deviation of the value; sums to 0.
    """

    value: float
    n: float
    n_effective: float
    patients: int
    influence: FloatArray

    def interval(self, confidence: float, freedom: float = math.inf) -> tuple[float, float]:
        """Return the bounds with this coverage: Wilson's interval for the effective number of rows.

        `freedom` are the degrees of freedom of the quantile; infinite is the normal distribution.
        """
        if not math.isfinite(self.value) or self.patients < 2:
            return math.nan, math.nan
        return wilson_interval(self.value, self.n_effective, confidence, freedom)


def proportion(
    hits: Sequence[FloatArray], among: Sequence[FloatArray], patients: Sequence[str] | IntArray
) -> Proportion:
    """Return the share of hits among some rows.

    The design effect, the variance over patients against that of independent rows, is at least 1. A few rows of the
    rarer outcome say little about it. So it is drawn towards its largest value, that of patients whose rows are all
    hits or none, by `PSEUDO_PATIENTS`: the weight of what was found is the number of patients with the rarer outcome.

    Parameters
    ----------
    hits, among
        One (rows,) for each seed, 0 or 1: the rows that count, and those of them that are hits. The value is the mean
        over seeds of the share.
    patients
        (rows,): the patient of each row.
    """
    patient, patients_in_all = patient_codes(patients)
    totals = np.array([float(rows.sum()) for rows in among])
    if patients_in_all == 0 or not (totals > 0).all():
        return Proportion(math.nan, float(totals.mean()), math.nan, 0, np.zeros(patients_in_all))
    shares = np.array([float((hit * rows).sum()) / total for hit, rows, total in zip(hits, among, totals, strict=True)])
    value = float(shares.mean())

    def by_patient(rows: FloatArray) -> FloatArray:
        return np.bincount(patient, weights=rows, minlength=patients_in_all).astype(np.float64)

    seeds = list(zip(hits, among, shares, totals, strict=True))
    influence = np.mean([by_patient((hit - share) * rows) / total for hit, rows, share, total in seeds], axis=0)
    counted = by_patient(np.mean(among, axis=0))
    found = by_patient(np.mean([hit * rows for hit, rows, _, _ in seeds], axis=0))
    n, number = float(totals.mean()), int((counted > 0).sum())
    rarer = int(min((found > 0).sum(), (counted - found > 1e-9).sum()))
    largest = float((counted**2).sum()) / n
    simple = value * (1 - value) / n
    if number < 2 or simple <= 0:
        effect = largest
    else:
        variance = number / (number - 1) * float((influence**2).sum())
        effect = (rarer * max(variance / simple, 1.0) + PSEUDO_PATIENTS * largest) / (rarer + PSEUDO_PATIENTS)
    return Proportion(value, n, n / max(effect, 1.0), number, influence)


def wilson_interval(value: float, n: float, confidence: float, freedom: float = math.inf) -> tuple[float, float]:
    """Return the bounds of Wilson's score interval.

    Parameters
    ----------
    value
        The proportion.
    n
        Number of independent rows; need not be a whole number.
    confidence
        Coverage.
    freedom
        Degrees of freedom behind `n`: the quantile is that of Student's distribution. Infinite is the normal one.
    """
    level = (1 + confidence) / 2
    square = float(ndtri(level) if math.isinf(freedom) else stdtrit(freedom, level)) ** 2
    centre = (value + square / (2 * n)) / (1 + square / n)
    reach = math.sqrt(square * (value * (1 - value) / n + square / (4 * n**2))) / (1 + square / n)
    low = 0.0 if value <= 0 else max(centre - reach, 0.0)
    high = 1.0 if value >= 1 else min(centre + reach, 1.0)
    return low, high
