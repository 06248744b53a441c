"""Paired comparisons of decisions: the difference of two proportions on the same lesions, and whether it is chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from mammoflow.evaluation.clustered import clustered_p_value
from mammoflow.evaluation.metrics import FloatArray, IntArray, patient_codes
from mammoflow.evaluation.proportions import PSEUDO_PATIENTS, Proportion, proportion

SMALLEST_P = 1e-14
"""Of `difference_p_value`: the level of an interval that is wider cannot be told from 1."""


@dataclass(frozen=True)
class DecisionDifference:
    """How often one model decides rightly, less how often another one does, on the same lesions.

    Attributes
    ----------
    first, second
        The two shares of right decisions, as means over seeds; `nan` without lesions.
    only_first, only_second
        Lesions that only the one or only the other decides rightly; means over pairs of seeds.
    p_value
        Two-sided, of the clustered McNemar test; `nan` where no patient has more right decisions of one
        than of the other.
    shares
        The two proportions.
    """

    first: float
    second: float
    only_first: float
    only_second: float
    p_value: float
    shares: tuple[Proportion, Proportion]

    @property
    def value(self) -> float:
        """First share minus second."""
        return self.first - self.second

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the bounds of the difference with this coverage; `nan` where there is no p value."""
        return difference_interval(*self.shares, confidence) if math.isfinite(self.p_value) else (math.nan, math.nan)


def difference_interval(first: Proportion, second: Proportion, confidence: float) -> tuple[float, float]:
    """Return the bounds of a difference of two proportions over the same patients.

    The distances of each share to the bounds of its own interval are joined with the correlation of the two shares over
    patients (Newcombe, Statistics in Medicine 17, 1998, 2635, method 10; Zou and Donner, Statistics in Medicine 27,
    2008). The correlation is drawn towards 0 with the weight of `PSEUDO_PATIENTS` patients: of few patients it may be 1
    by chance, which would give an interval without width.

    Parameters
    ----------
    first, second
        With the influence of each patient, of the same patients in the same order.
    confidence
        Coverage.
    """
    value = first.value - second.value
    (low, high), (other_low, other_high) = (share.interval(confidence) for share in (first, second))
    scale = math.sqrt(float((first.influence**2).sum() * (second.influence**2).sum()))
    together = float((first.influence * second.influence).sum()) / scale if scale > 0 else 0.0
    patients = min(first.patients, second.patients)
    together *= patients / (patients + PSEUDO_PATIENTS)
    return (
        value - _joined(first.value - low, other_high - second.value, together),
        value + _joined(high - first.value, second.value - other_low, together),
    )


def difference_p_value(first: Proportion, second: Proportion) -> float:
    """Return the two-sided p value of equal proportions that belongs to `difference_interval`.

    It is the largest p at which the interval with coverage 1 - p contains 0, so p is below .05 exactly where the
    interval with coverage .95 does not contain 0. The parameters are those of `difference_interval`; no p value is
    below `SMALLEST_P`.
    """
    is_higher = first.value > second.value

    def nearest_bound(logarithm: float) -> float:
        low, high = difference_interval(first, second, 1 - math.exp(logarithm))
        return low if is_higher else -high

    least, most = math.log(SMALLEST_P), -1e-9
    if nearest_bound(most) <= 0:  # the values differ by no more than rounding
        return 1.0
    if nearest_bound(least) > 0:
        return SMALLEST_P
    return math.exp(float(brentq(nearest_bound, least, most, xtol=1e-10)))


def compare_decisions(
    first: Sequence[FloatArray], second: Sequence[FloatArray], patients: Sequence[str] | IntArray
) -> DecisionDifference:
    """Compare the decisions of two models on the same lesions.

    The test is McNemar's with the lesions of a patient taken together: with d the sum over a patient's lesions of right
    decisions of the first model less those of the second, (sum d)^2 / sum d^2 has a chi-squared distribution with one
    degree of freedom (Yang, Sun and Hardin, Biometrical Journal 52, 2010). It is the generalised score test of a GEE
    with independent working correlation. With one lesion for each patient it is McNemar's test without correction.

    Parameters
    ----------
    first, second
        One (lesions,) for each seed: 1 where the decision is right, 0 where it is wrong.
    patients
        (lesions,): the patient of each lesion.
    """
    codes, number = patient_codes(patients)
    everything = np.ones(len(codes))
    one, other = (proportion(seeds, [everything] * len(seeds), codes) for seeds in (first, second))
    if number == 0:
        return DecisionDifference(math.nan, math.nan, 0.0, 0.0, math.nan, (one, other))
    means = [np.mean(seeds, axis=0) for seeds in (first, second)]
    p_value = clustered_p_value(means[0] - means[1], codes)
    return DecisionDifference(
        one.value,
        other.value,
        float((means[0] * (1 - means[1])).sum()),
        float((means[1] * (1 - means[0])).sum()),
        p_value,
        (one, other),
    )


def _joined(first: float, second: float, together: float) -> float:
    return math.sqrt(max(first**2 - 2 * together * first * second + second**2, 0.0))
