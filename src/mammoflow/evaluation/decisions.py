"""Paired comparisons of decisions: the difference of two proportions on the same lesions, and whether it is chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mammoflow.evaluation.clustered import clustered_p_value
from mammoflow.evaluation.metrics import FloatArray, IntArray, patient_codes
from mammoflow.evaluation.proportions import Proportion, proportion


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
        Two-sided, of the clustered McNemar test; `nan` where both decide every lesion alike.
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
        """Return the bounds of the difference with this coverage.

        The distances of each share to the bounds of its own interval are joined with the correlation of the two shares
        over patients (Newcombe, Statistics in Medicine 17, 1998, 2635, method 10; Zou and Donner, Statistics in
        Medicine 27, 2008). `nan` where both decide every lesion alike.
        """
        if self.only_first == 0 and self.only_second == 0:
            return math.nan, math.nan
        one, other = self.shares
        (low, high), (other_low, other_high) = (share.interval(confidence) for share in self.shares)
        scale = math.sqrt(float((one.influence**2).sum() * (other.influence**2).sum()))
        together = float((one.influence * other.influence).sum()) / scale if scale > 0 else 0.0
        return (
            self.value - _joined(one.value - low, other_high - other.value, together),
            self.value + _joined(high - one.value, other.value - other_low, together),
        )


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
