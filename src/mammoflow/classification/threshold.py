"""The operating point, chosen on validation and on nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score, roc_curve

from mammoflow.config.operating_point import DEFAULT_THRESHOLD, ThresholdSettings

FEWEST_CASES = 10
"""Validation cases of each class below which a choice on validation is marked: sensitivity moves in steps of .1."""


@dataclass(frozen=True)
class Threshold:
    """A probability from which a lesion counts as malignant, and where it came from."""

    value: float
    origin: str


def area_under_curve(labels: npt.NDArray[np.floating], scores: npt.NDArray[np.floating]) -> float:
    """Return the area under the ROC curve, NaN where there is one class only or a score is not a number."""
    if len(np.unique(labels)) < 2 or not np.isfinite(scores).all():
        return float("nan")
    return float(roc_auc_score(labels, scores))


def few_cases(labels: npt.NDArray[np.floating]) -> str:
    """Say how many cases of each class there are, where one class has fewer than `FEWEST_CASES`; else ""."""
    malignant, benign = int((labels == 1).sum()), int((labels == 0).sum())
    if min(malignant, benign) >= FEWEST_CASES:
        return ""
    return (
        f"{malignant} malignant and {benign} benign lesions in validation, fewer than {FEWEST_CASES} of a class to "
        "choose on"
    )


def choose_threshold(
    labels: npt.NDArray[np.floating],
    probabilities: npt.NDArray[np.floating],
    settings: ThresholdSettings | None = None,
) -> Threshold:
    """Choose the threshold in the way of the settings.

    `youden` takes the largest Youden index (sensitivity + specificity - 1; Youden, Cancer 1950); of several equally
    good thresholds the lowest, which has the highest sensitivity. `sensitivity` takes the highest threshold that
    reaches the stated sensitivity, `specificity` the lowest that reaches the stated specificity. A chosen threshold
    lies half way between the two neighbouring probabilities. With one class only there is nothing to choose: 0.5.

    Parameters
    ----------
    labels
        (n,) 0 or 1, of validation lesions.
    probabilities
        (n,) their probabilities of malignancy.
    settings
        How the threshold is chosen; None takes the largest Youden index.
    """
    chosen = settings or ThresholdSettings()
    if chosen.method == "fixed":
        value = DEFAULT_THRESHOLD if chosen.value is None else chosen.value
        return Threshold(value, f"fixed at {value:g}")
    if len(np.unique(labels)) < 2:
        return Threshold(DEFAULT_THRESHOLD, "default: validation has one class")
    false_rate, true_rate, levels = roc_curve(labels, probabilities, drop_intermediate=False)
    if chosen.method == "youden":
        youden = (true_rate - false_rate)[1:]  # the first cut calls nothing malignant
        place, how = int(np.flatnonzero(youden >= youden.max() - 1e-12)[-1]) + 1, "largest Youden index on validation"
    else:
        wanted = DEFAULT_THRESHOLD if chosen.value is None else chosen.value
        how = f"{chosen.method} of at least {wanted:g} on validation"
        if chosen.method == "sensitivity":
            place = int(np.flatnonzero(true_rate >= wanted - 1e-12)[0])
        else:
            place = int(np.flatnonzero(1 - false_rate >= wanted - 1e-12)[-1])
    warning = few_cases(labels)
    return Threshold(_between_neighbours(levels, place), f"{how} ({warning})" if warning else how)


def _between_neighbours(levels: npt.NDArray[np.floating], place: int) -> float:
    """Return the threshold that calls the cases of the levels 1 to `place` malignant; the first level is infinite."""
    if place == 0:
        return float(np.nextafter(levels[1], np.inf))
    if place + 1 < len(levels):
        return float((levels[place] + levels[place + 1]) / 2)
    return float(levels[place])
