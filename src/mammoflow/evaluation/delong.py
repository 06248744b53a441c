"""Areas under the ROC curve with intervals, and tests of their differences, where lesions may share patients.

DeLong's variance (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988) takes lesions as independent. Here the
structural components of the lesions of one patient are summed before their variance is taken (Obuchowski, Biometrics
53, 1997), so that lesions of one patient may depend on each other in any way, malignant and benign ones included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri, stdtr, stdtrit
from scipy.stats import rankdata

from mammoflow.evaluation.metrics import FloatArray, IntArray, patient_codes

NOTHING = 1e-9
"""Errors and distances to 0 or 1 below this are rounding."""


@dataclass(frozen=True)
class Area:
    """An area under the ROC curve.

    Attributes
    ----------
    value
        The area; `nan` with one class.
    error
        Its standard error; `nan` with fewer than two patients in a class.
    freedom
        Degrees of freedom of the error.
    malignant, benign
        Number of patients with a malignant lesion, and with a benign one.
    """

    value: float
    error: float
    freedom: float
    malignant: int
    benign: int

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the bounds of the area with this coverage.

        The bounds are taken on the logit scale, where they stay between 0 and 1, with the quantile of Student's
        distribution. Where the area is 0 or 1, or the error is 0, the error says nothing; the bounds are then those
        of Newcombe's fifth method (Statistics in Medicine 25, 2006, 559) for the numbers of patients.
        """
        if not math.isfinite(self.value) or min(self.malignant, self.benign) < 1:
            return math.nan, math.nan
        if self.error > NOTHING and NOTHING < self.value < 1 - NOTHING:
            reach = float(stdtrit(self.freedom, (1 + confidence) / 2))
            reach *= self.error / (self.value * (1 - self.value))
            centre = float(logit(self.value))
            return float(expit(centre - reach)), float(expit(centre + reach))
        return newcombe_interval(self.value, self.malignant, self.benign, confidence)


NO_AREA = Area(math.nan, math.nan, math.nan, 0, 0)
"""Where a class does not occur."""


@dataclass(frozen=True)
class AreaDifference:
    """Difference of two areas under the ROC curve.

    Attributes
    ----------
    first, second
        The two areas; `nan` with one class.
    error
        Standard error of first - second; `nan` where it is not defined.
    freedom
        Degrees of freedom of the error.
    """

    first: float
    second: float
    error: float
    freedom: float

    @property
    def value(self) -> float:
        """First area minus second."""
        return self.first - self.second

    @property
    def p_value(self) -> float:
        """Two-sided p value under Student's distribution; `nan` without an error."""
        if not self.error > 0:
            return math.nan
        return 2 * float(stdtr(self.freedom, -abs(self.value) / self.error))

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the bounds of the difference with this coverage, from -1 to 1; `nan` where there is no p value."""
        if not self.error > 0:
            return math.nan, math.nan
        reach = float(stdtrit(self.freedom, (1 + confidence) / 2)) * self.error
        return max(self.value - reach, -1.0), min(self.value + reach, 1.0)

    def non_inferiority_p(self, margin: float) -> float:
        """Return the one-sided p value of the hypothesis that the first area is smaller by the margin or more."""
        if not self.error > 0:
            return math.nan
        return float(stdtr(self.freedom, -(self.value + margin) / self.error))

    def detectable(self, confidence: float, power: float) -> float:
        """Return the smallest true difference that a two-sided test at 1 - confidence finds with this power.

        It depends on the error alone, not on the difference that was found. With few patients it is above 1: no
        difference would be found with this power.
        """
        if not self.error > 0:
            return math.nan
        return float(stdtrit(self.freedom, (1 + confidence) / 2) + stdtrit(self.freedom, power)) * self.error


NO_DIFFERENCE = AreaDifference(math.nan, math.nan, math.nan, math.nan)
"""Where one of the areas is not defined."""


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


def area(label: FloatArray, scores: Sequence[FloatArray], patients: Sequence[str] | IntArray) -> Area:
    """Return the area under the ROC curve of one model.

    Parameters
    ----------
    label
        (lesions,): 1 malignant, 0 benign.
    scores
        One (lesions,) for each seed; the area is the mean over seeds.
    patients
        (lesions,): the patient of each lesion.
    """
    malignant = label == 1
    if malignant.all() or not malignant.any():
        return NO_AREA
    return area_of_components(label, components(label, scores), patients)


def area_of_components(label: FloatArray, found: FloatArray, patients: Sequence[str] | IntArray) -> Area:
    """Return the area under the ROC curve from what `components` gives; both classes occur."""
    malignant = label == 1
    value = float(found[malignant].mean())
    spread = clustered_spread(malignant, found - value, patients)
    return Area(value, spread.error, spread.freedom, *spread.clusters)


def area_difference(
    label: FloatArray, first: FloatArray, second: FloatArray, patients: Sequence[str] | IntArray
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
        return NO_DIFFERENCE
    areas = float(first[malignant].mean()), float(second[malignant].mean())
    spread = clustered_spread(malignant, first - second - (areas[0] - areas[1]), patients)
    return AreaDifference(*areas, spread.error if spread.error > NOTHING else math.nan, spread.freedom)


def newcombe_interval(area: float, malignant: int, benign: int, confidence: float) -> tuple[float, float]:
    """Return the bounds of an area from the numbers of cases alone (Newcombe, Statistics in Medicine 25, 2006, 559).

    This is the paper's fifth method: the variance is that of Hanley and McNeil at the bound itself, with the mean
    number of cases in the place of both numbers, so the bounds differ from the area even where that is 0 or 1.

    Parameters
    ----------
    area
        0 to 1.
    malignant, benign
        Number of independent cases of each class, at least 1.
    confidence
        Coverage.
    """
    reach, size = float(ndtri((1 + confidence) / 2)), (malignant + benign) / 2 - 1

    def excess(bound: float) -> float:
        variance = 1 + size * (1 - bound) / (2 - bound) + size * bound / (1 + bound)
        return (bound - area) ** 2 - reach**2 * bound * (1 - bound) * variance / (malignant * benign)

    # At 0 and 1 the variance is 0, so the excess is not negative there; at the area it is not positive.
    middle = min(max(area, NOTHING), 1 - NOTHING)
    low = float(brentq(excess, 0.0, middle)) if area > NOTHING else 0.0
    high = float(brentq(excess, middle, 1.0)) if area < 1 - NOTHING else 1.0
    return low, high


def satterthwaite(variances: Sequence[float], freedoms: Sequence[float]) -> float:
    """Return the degrees of freedom of a sum of independent variances; `nan` where all of them are 0."""
    parts = sum(part**2 / freedom for part, freedom in zip(variances, freedoms, strict=True) if part > 0)
    return float(sum(variances) ** 2 / parts) if parts > 0 else math.nan


@dataclass(frozen=True)
class Spread:
    """Standard error of an area or of a difference, its degrees of freedom, and the patients of each class."""

    error: float
    freedom: float
    clusters: tuple[int, int]


def clustered_spread(
    malignant: npt.NDArray[np.bool_], deviation: FloatArray, patients: Sequence[str] | IntArray
) -> Spread:
    """Return the standard error of the mean of components, from their deviations (lesions,), summed over patients.

    The degrees of freedom are Satterthwaite's for the variances of the two classes, as Brunner and Munzel take them for
    the same statistic (Biometrical Journal 42, 2000).
    """
    patient, patients_in_all = patient_codes(patients)
    sums, variances, clusters = [], [], []
    for of_class in (malignant, ~malignant):
        count, number = int(of_class.sum()), len(np.unique(patient[of_class]))
        total = np.bincount(patient[of_class], weights=deviation[of_class], minlength=patients_in_all) / count
        sums.append(total)
        clusters.append(number)
        variances.append(number / (number - 1) * float((total**2).sum()) if number > 1 else math.nan)
    numbers = (clusters[0], clusters[1])
    if min(numbers) < 2:
        return Spread(math.nan, math.nan, numbers)
    shared = patients_in_all / (patients_in_all - 1) * float((sums[0] * sums[1]).sum())
    error = math.sqrt(max(sum(variances) + 2 * shared, 0.0))
    freedom = satterthwaite(variances, [number - 1 for number in numbers])
    return Spread(error, max(freedom, 1.0), numbers)
