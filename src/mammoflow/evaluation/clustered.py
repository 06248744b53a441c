"""Tests of whether a mean is zero, where the rows of one patient may depend on each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

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
