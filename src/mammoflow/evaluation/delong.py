"""Test of the difference between two areas under the ROC curve on the same lesions, which may share patients.

DeLong's test (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988) takes lesions as independent. Here the structural
components of the lesions of one patient are summed before their variance is taken (Obuchowski, Biometrics 53, 1997), so
that lesions of one patient may depend on each other in any way, malignant and benign ones included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata

from mammoflow.evaluation.metrics import FloatArray


@dataclass(frozen=True)
class AreaDifference:
    """Difference of two areas under the ROC curve.

    Attributes
    ----------
    first, second
        The two areas; `nan` with one class.
    error
        Standard error of first - second; `nan` where it is not defined.
    """

    first: float
    second: float
    error: float

    @property
    def value(self) -> float:
        """First area minus second."""
        return self.first - self.second

    @property
    def p_value(self) -> float:
        """Two-sided p value under the normal distribution; `nan` without an error."""
        if not self.error > 0:
            return math.nan
        return math.erfc(abs(self.value) / self.error / math.sqrt(2))

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the bounds of the difference with this coverage; `nan` where there is no p value."""
        if not self.error > 0:
            return math.nan, math.nan
        reach = float(norm.ppf((1 + confidence) / 2)) * self.error
        return self.value - reach, self.value + reach


def components(label: FloatArray, scores: Sequence[FloatArray]) -> FloatArray:
    """Return each lesion's structural component: the share of the other class that it is ranked rightly against.

    Parameters
    ----------
    label
        (lesions,): 1 malignant, 0 benign; both occur.
    scores
        One (lesions,) for each seed of a model; the components are means over seeds, and so is the area.

    Returns
    -------
    ndarray
        (lesions,), 0 to 1; the mean over malignant lesions, and over benign ones, is the area under the curve.
    """
    malignant = label == 1
    n_malignant, n_benign = int(malignant.sum()), int((~malignant).sum())
    found = np.zeros(len(label))
    for score in scores:
        below = rankdata(score)
        found[malignant] += (below[malignant] - rankdata(score[malignant])) / n_benign
        found[~malignant] += 1 - (below[~malignant] - rankdata(score[~malignant])) / n_malignant
    return found / len(scores)


def area_difference(
    label: FloatArray, first: FloatArray, second: FloatArray, patients: Sequence[str]
) -> AreaDifference:
    """Compare two areas under the ROC curve on the same lesions.

    Parameters
    ----------
    label
        (lesions,): 1 malignant, 0 benign.
    first, second
        (lesions,): what `components` gives for either model.
    patients
        (lesions,): the patient of each lesion.

    Returns
    -------
    AreaDifference
        Without an error where fewer than two patients have a malignant lesion, or fewer than two a benign one, or where
        both models rank all lesions alike.
    """
    malignant = label == 1
    if malignant.all() or not malignant.any():
        return AreaDifference(math.nan, math.nan, math.nan)
    areas = float(first[malignant].mean()), float(second[malignant].mean())
    names, patient = np.unique(np.asarray(patients, dtype=object).astype(str), return_inverse=True)
    deviation = first - second - (areas[0] - areas[1])
    variance, summed, weights = 0.0, [], []
    for of_class in (malignant, ~malignant):
        clusters = len(np.unique(patient[of_class]))
        if clusters < 2:
            return AreaDifference(*areas, math.nan)
        total = np.bincount(patient[of_class], weights=deviation[of_class], minlength=len(names))
        count = int(of_class.sum())
        variance += clusters / (clusters - 1) * float((total**2).sum()) / count**2
        summed.append(total)
        weights.append(count)
    shared = len(names) / (len(names) - 1) * float((summed[0] * summed[1]).sum())
    variance += 2 * shared / (weights[0] * weights[1])
    return AreaDifference(*areas, math.sqrt(variance) if variance > 1e-18 else math.nan)
