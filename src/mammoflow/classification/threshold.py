"""The operating point, chosen on validation and on nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score, roc_curve

DEFAULT_THRESHOLD = 0.5


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


def choose_threshold(labels: npt.NDArray[np.floating], probabilities: npt.NDArray[np.floating]) -> Threshold:
    """Choose the threshold with the largest Youden index (sensitivity + specificity - 1; Youden, Cancer 1950).

    The threshold lies half way between the two neighbouring probabilities; of several equally good ones the lowest is
    taken, which has the highest sensitivity. With one class only there is nothing to choose: 0.5.

    Parameters
    ----------
    labels
        (n,) 0 or 1, of validation lesions.
    probabilities
        (n,) their probabilities of malignancy.
    """
    if len(np.unique(labels)) < 2:
        return Threshold(DEFAULT_THRESHOLD, "default: validation has one class")
    false_rate, true_rate, cuts = roc_curve(labels, probabilities, drop_intermediate=False)
    youden = (true_rate - false_rate)[1:]  # the first cut calls nothing malignant
    best = int(np.flatnonzero(youden >= youden.max() - 1e-12)[-1])
    levels = cuts[1:]
    value = (levels[best] + levels[best + 1]) / 2 if best + 1 < len(levels) else levels[best]
    return Threshold(float(value), "largest Youden index on validation")
