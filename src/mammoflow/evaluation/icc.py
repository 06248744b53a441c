"""Agreement of repeated measurements: the intraclass correlation ICC(2,1) with its interval.

ICC(2,1) is that of single measurements in a two-way random model with absolute agreement (Shrout and Fleiss,
Psychological Bulletin 86, 1979; ICC(A,1) of McGraw and Wong, Psychological Methods 1, 1996, whose interval is used).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import f as f_distribution

from mammoflow.evaluation.metrics import FloatArray


@dataclass(frozen=True)
class Agreement:
    """An intraclass correlation.

    Attributes
    ----------
    value
        1 if all measurements of a target agree, about 0 if they have no relation; `nan` if it is not defined.
    low, high
        Bounds of the interval; `nan` if there is none.
    targets
        Number of targets that were measured under every condition.
    """

    value: float
    low: float
    high: float
    targets: int


def icc_2_1(values: FloatArray, confidence: float = 0.95, fewest: int = 5) -> Agreement:
    """Return ICC(2,1).

    Parameters
    ----------
    values
        (targets, conditions); a target with a value that is not finite is left out.
    confidence
        Coverage of the interval, from the F distribution. It takes the targets to be independent.
    fewest
        Targets below which nothing is defined.

    Returns
    -------
    Agreement
        Not defined with fewer than two conditions, or if all values are equal. Without any difference between
        conditions it is 1, and has no interval: one of zero width would claim to be certain.
    """
    complete = values[np.isfinite(values).all(axis=1)]
    targets, conditions = complete.shape
    if targets < max(fewest, 2) or conditions < 2:
        return Agreement(math.nan, math.nan, math.nan, targets)
    scale = float(np.abs(complete).max())
    table = complete / scale if scale else complete
    grand, by_target, by_condition = table.mean(), table.mean(axis=1), table.mean(axis=0)
    between = conditions * float(((by_target - grand) ** 2).sum()) / (targets - 1)
    shift = targets * float(((by_condition - grand) ** 2).sum()) / (conditions - 1)
    rest = table - by_target[:, None] - by_condition[None] + grand
    error = float((rest**2).sum()) / ((targets - 1) * (conditions - 1))
    tiny = (64 * np.finfo(np.float64).eps) ** 2
    if between <= tiny and error <= tiny:
        return Agreement(math.nan, math.nan, math.nan, targets)
    if error <= tiny and shift <= tiny:
        return Agreement(1.0, math.nan, math.nan, targets)
    value = (between - error) / (between + (conditions - 1) * error + conditions * (shift - error) / targets)
    low, high = _interval(value, between, shift, error, targets, conditions, confidence)
    return Agreement(float(value), low, high, targets)


def _interval(
    value: float, between: float, shift: float, error: float, targets: int, conditions: int, confidence: float
) -> tuple[float, float]:
    """Return the bounds of McGraw and Wong (1996), table 7, for ICC(A,1), from the three mean squares."""
    if value >= 1:
        return math.nan, math.nan
    n, k = targets, conditions
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    spread = (a * shift) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    freedom = (a * shift + b * error) ** 2 / spread
    tail = 1 - (1 - confidence) / 2
    below = float(f_distribution.ppf(tail, n - 1, freedom))
    above = float(f_distribution.ppf(tail, freedom, n - 1))
    other = k * shift + (k * n - k - n) * error
    low = n * (between - below * error) / (below * other + n * between)
    high = n * (above * between - error) / (other + n * above * between)
    return float(low), float(min(high, 1.0))
