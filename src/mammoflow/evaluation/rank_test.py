"""Test of whether a feature differs between malignant and benign lesions; lesions of one patient may be dependent."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from mammoflow.evaluation.metrics import FloatArray


def clustered_rank_test(label: FloatArray, value: FloatArray, patients: Sequence[str]) -> float:
    """Return the two-sided p value of the Mann-Whitney test for clustered rows.

    The statistic is the score sum of (label - mean label) * (rank - mean rank), which is
    (number malignant) * (number benign) * (AUC - 0.5). Its variance is the sum over patients of the squared sum of each
    patient's scores, so that rows of one patient may depend on each other in any way (generalised score test; Boos,
    The American Statistician 46, 1992). The ratio is taken as standard normal, which needs many patients; with few, the
    p value cannot become small, because the ratio is at most the square root of the number of patients.

    Parameters
    ----------
    label
        (rows,): 1 malignant, 0 benign.
    value
        (rows,): the feature; finite.
    patients
        (rows,): the patient of each row.

    Returns
    -------
    float
        0 to 1; `nan` with one class, one patient, or one value only.
    """
    names, patient = np.unique(np.asarray(patients, dtype=object).astype(str), return_inverse=True)
    if len(names) < 2 or len(np.unique(label)) < 2:
        return math.nan
    ranks = rankdata(value)
    scores = np.bincount(patient, weights=(label - label.mean()) * (ranks - ranks.mean()))
    variance = float((scores**2).sum())
    if variance == 0:
        return math.nan
    return math.erfc(abs(float(scores.sum())) / math.sqrt(2 * variance))
