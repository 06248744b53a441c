"""Test and interval of a mean, where the rows of one patient may depend on each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from mammoflow.evaluation.metrics import FloatArray, IntArray, patient_codes

NO_SPREAD = 1e-12
"""Sums of squares up to this are rounding."""


def clustered_p_value(scores: FloatArray, patients: Sequence[str] | IntArray) -> float:
    """Return the two-sided p value of the generalised score test of a mean of zero.

    With d the sum of a patient's scores, (sum d)^2 / sum d^2 has a chi-squared distribution with one degree of freedom
    (Boos, The American Statistician 46, 1992; for pairs of decisions Yang, Sun and Hardin, Biometrical Journal 52,
    2010). That needs many patients; with few, the p value cannot become small, because the ratio is at most the number
    of patients.

    Parameters
    ----------
    scores
        (rows,): finite.
    patients
        (rows,): the patient of each row.

    Returns
    -------
    float
        0 to 1; `nan` with fewer than two patients, or where every patient's sum is 0.
    """
    codes, number = patient_codes(patients)
    sums = np.bincount(codes, weights=scores) if number else np.zeros(0)
    spread = float((sums**2).sum())
    if number < 2 or spread <= NO_SPREAD:
        return math.nan
    return math.erfc(abs(float(sums.sum())) / math.sqrt(2 * spread))


def clustered_interval(
    scores: FloatArray, patients: Sequence[str] | IntArray, confidence: float
) -> tuple[float, float]:
    """Return the means that the test of `clustered_p_value` does not reject.

    For a mean m, d is the sum of a patient's scores less m times their number. The bounds solve (sum d)^2 / sum d^2 =
    z^2, where z is the quantile of the normal distribution (the test inverted; Boos, The American Statistician 46,
    1992). So the interval with coverage .95 contains 0 exactly where the p value of zero is at least .05.

    Parameters
    ----------
    scores
        (rows,): finite.
    patients
        (rows,): the patient of each row.
    confidence
        Coverage.

    Returns
    -------
    tuple
        `nan` twice where there is no p value, where every patient has one mean, and with so few patients that no mean
        is rejected: fewer than z^2, where all have as many rows.
    """
    codes, _ = patient_codes(patients)
    if not math.isfinite(clustered_p_value(scores, codes)):
        return math.nan, math.nan
    sums, rows = np.bincount(codes, weights=scores), np.bincount(codes).astype(np.float64)
    square = float(ndtri((1 + confidence) / 2)) ** 2
    # squared * m^2 - 2 * linear * m + constant = 0
    squared = rows.sum() ** 2 - square * float((rows**2).sum())
    linear = sums.sum() * rows.sum() - square * float((sums * rows).sum())
    constant = sums.sum() ** 2 - square * float((sums**2).sum())
    under_root = linear**2 - squared * constant
    if squared <= 0 or under_root <= NO_SPREAD * linear**2:
        return math.nan, math.nan
    reach = math.sqrt(under_root)
    return (linear - reach) / squared, (linear + reach) / squared
