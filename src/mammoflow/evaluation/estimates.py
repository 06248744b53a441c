"""Every metric of a model on some lesions, each with an interval that holds with few patients.

Areas under the ROC curve have DeLong's interval over patients on the logit scale, proportions Wilson's interval for the
effective number of lesions. F1 is a function of a proportion, so its bounds are those of the proportion. The table of
their simulated coverage is in docs/evaluation.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.delong import area
from mammoflow.evaluation.metrics import METRICS, FloatArray, IntArray, measure
from mammoflow.evaluation.proportions import Proportion, proportion

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scored:
    """What a model says of some lesions: label and patient of each, and score and call of each seed.

    Attributes
    ----------
    label
        (lesions,): 1 malignant, 0 benign.
    scores, calls
        One (lesions,) for each seed; a call is 0 or 1.
    patients
        (lesions,): number of the patient.
    """

    label: FloatArray
    scores: Sequence[FloatArray]
    calls: Sequence[FloatArray]
    patients: IntArray

    def part(self, kept: BoolArray) -> Scored:
        """Return what the model says of some of the lesions, (lesions,) of booleans."""
        scores, calls = ([values[kept] for values in seeds] for seeds in (self.scores, self.calls))
        return Scored(self.label[kept], scores, calls, self.patients[kept])

    def has_both(self, fewest: int) -> bool:
        """Tell whether enough patients have a malignant lesion, and enough a benign one."""
        return all(self.patients_with(self.label == value) >= fewest for value in (0, 1))

    def patients_with(self, rows: BoolArray) -> int:
        """Count the patients that have one of some rows, (lesions,) of booleans."""
        return len(np.unique(self.patients[rows]))

    def proportion(self, name: str) -> Proportion:
        """Return a metric that is a proportion, such as `recall`, with its effective number of lesions."""
        label = self.label
        parts = {
            "accuracy": lambda call: ((call == label).astype(np.float64), np.ones(len(label))),
            "precision": lambda call: (label, call),
            "recall": lambda call: (call, label),
            "specificity": lambda call: (1 - call, 1 - label),
            "npv": lambda call: (1 - label, 1 - call),
        }[name]
        pairs = [parts(call) for call in self.calls]
        return proportion([hits for hits, _ in pairs], [among for _, among in pairs], self.patients)


def too_few_cases(fewest: int) -> str:
    """Return what the note of a row says that has too few lesions for a figure."""
    return f"fewer than {fewest} lesions: no figure (comparison.fewest_cases)"


def metric_estimates(scored: Scored, rule: PatientBootstrap, metrics: Sequence[str] = METRICS) -> dict[str, Estimate]:
    """Return metrics with their intervals, as means over seeds.

    There is no interval where fewer than `rule.fewest_patients` patients have a lesion of either class, or a lesion
    that the metric is over, such as one that is called malignant for the precision.

    Parameters
    ----------
    scored
        The model on the lesions.
    rule
        Coverage of the intervals, and the fewest patients.
    metrics
        Which of `METRICS`.
    """
    if len(scored.label) == 0:
        return {metric: Estimate(math.nan, math.nan, math.nan) for metric in metrics}
    enough = scored.has_both(rule.fewest_patients)
    found = {}
    for metric in metrics:
        if metric == "auc":
            found[metric] = _area_estimate(scored, rule, enough)
        elif metric == "f1":
            found[metric] = _f1_estimate(scored, rule, enough)
        else:
            found[metric] = proportion_estimate(scored.proportion(metric), rule, enough)
    return found


def area_estimate(scored: Scored, rule: PatientBootstrap) -> Estimate:
    """Return the area under the ROC curve with its interval, as the mean over seeds."""
    return _area_estimate(scored, rule, scored.has_both(rule.fewest_patients))


def proportion_estimate(share: Proportion, rule: PatientBootstrap, enough: bool = True) -> Estimate:
    """Return a proportion with its interval; without one where `enough` is false or few patients are in it."""
    if not enough or share.patients < rule.fewest_patients:
        return Estimate(share.value, math.nan, math.nan)
    return Estimate(share.value, *share.interval(rule.confidence))


def seed_spread(scored: Scored) -> dict[str, float]:
    """Return the standard deviation of each metric over the seeds; `nan` for one seed."""
    if len(scored.scores) < 2 or len(scored.label) == 0:
        return dict.fromkeys(METRICS, math.nan)
    once = np.ones((1, len(scored.label)))
    seeds: list[Mapping[str, FloatArray]] = [
        measure(scored.label, score, call, once) for score, call in zip(scored.scores, scored.calls, strict=True)
    ]
    return {metric: float(np.std([seed[metric][0] for seed in seeds], ddof=1)) for metric in METRICS}


def _area_estimate(scored: Scored, rule: PatientBootstrap, enough: bool) -> Estimate:
    if len(scored.label) == 0:
        return Estimate(math.nan, math.nan, math.nan)
    found = area(scored.label, scored.scores, scored.patients)
    bounds = found.interval(rule.confidence) if enough else (math.nan, math.nan)
    return Estimate(found.value, *bounds)


def _f1_estimate(scored: Scored, rule: PatientBootstrap, enough: bool) -> Estimate:
    """Return F1 with its interval.

    With J = TP / (TP + FP + FN), F1 is 2 J / (1 + J). J is a proportion of the lesions that are malignant or called so.
    Which these are is itself random, so the quantile is that of Student's distribution.
    """
    label = scored.label
    share = proportion(
        [call * label for call in scored.calls],
        [np.maximum(call, label) for call in scored.calls],
        scored.patients,
    )
    overlap = [
        2 * float((call * label).sum()) / total if (total := float((call + label).sum())) else math.nan
        for call in scored.calls
    ]
    value = float(np.mean(overlap))
    if not enough or not math.isfinite(value) or share.patients < max(rule.fewest_patients, 2):
        return Estimate(value, math.nan, math.nan)
    # Several seeds: the bounds are those of the proportion whose F1 is the mean over seeds.
    of_mean = Proportion(value / (2 - value), share.n, share.n_effective, share.patients, share.influence)
    low, high = of_mean.interval(rule.confidence, share.patients - 1)
    return Estimate(value, 2 * low / (1 + low), 2 * high / (1 + high))
