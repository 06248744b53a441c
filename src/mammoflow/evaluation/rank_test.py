"""Test of whether a feature differs between malignant and benign lesions; lesions of one patient may be dependent."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from mammoflow.evaluation.clustered import clustered_p_value
from mammoflow.evaluation.metrics import FloatArray


def clustered_rank_test(label: FloatArray, value: FloatArray, patients: Sequence[str]) -> float:
    """Return the two-sided p value of the Mann-Whitney test for clustered rows.

    The statistic is the score sum of (label - mean label) * (rank - mean rank), which is
    (number malignant) * (number benign) * (AUC - 0.5). `clustered_p_value` tests it, so that rows of one patient may
    depend on each other in any way.

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
    if len(np.unique(label)) < 2:
        return math.nan
    ranks = rankdata(value)
    return clustered_p_value((label - label.mean()) * (ranks - ranks.mean()), patients)
