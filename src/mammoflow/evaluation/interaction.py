"""Whether the AUC of a model differs between the groups of a grouping, where a patient may be in several groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import f, false_discovery_control

from mammoflow.evaluation.delong import NOTHING, Area, satterthwaite
from mammoflow.evaluation.metrics import FloatArray, IntArray


@dataclass(frozen=True)
class Heterogeneity:
    """The test that the areas of some groups are equal.

    Attributes
    ----------
    statistic
        Wald's chi-squared; `nan` where there is no test.
    freedom
        Groups less one; 0 where there is no test.
    p_value
        Of the F distribution, with Satterthwaite's degrees of freedom for the errors of the groups.
    """

    statistic: float
    freedom: int
    p_value: float


NO_TEST = Heterogeneity(math.nan, 0, math.nan)


def has_error(area: Area) -> bool:
    """Tell whether the error of an area says something: not where the area is 0 or 1, nor with one patient of a class.

    All components are alike where the classes are parted, so the error is 0, however few patients there are.
    """
    return area.error > NOTHING and NOTHING < area.value < 1 - NOTHING


def area_influence(label: FloatArray, found: FloatArray, patients: IntArray, number: int, error: float) -> FloatArray:
    """Return what each patient adds to the deviation of an area under the ROC curve.

    Parameters
    ----------
    label
        (lesions,): 1 malignant, 0 benign; both occur.
    found
        (lesions,): what `mammoflow.evaluation.delong.components` gives.
    patients
        (lesions,): number of the patient, below `number`.
    number
        Patients of all groups.
    error
        Standard error of the area. The influences are scaled so that the sum of their squares is its square.

    Returns
    -------
    ndarray
        (number,); 0 for patients without a lesion here.
    """
    count = np.where(label == 1, label.sum(), len(label) - label.sum())
    deviation = (found - found[label == 1].mean()) / count
    influence = np.bincount(patients, weights=deviation, minlength=number).astype(np.float64)
    length = float(np.linalg.norm(influence))
    return influence * (error / length) if length > 0 else influence


def heterogeneity(areas: Sequence[Area], influences: Sequence[FloatArray]) -> Heterogeneity:
    """Test whether the areas of groups are equal: Wald's test with the covariance of the groups over patients.

    The covariance is that of Obuchowski (Biometrics 53, 1997), taken over all patients, so that lesions of one patient
    in several groups count as what they are. Groups whose error says nothing (`has_error`) are left out.

    Parameters
    ----------
    areas
        One for each group.
    influences
        One (patients,) for each group, of `area_influence`.
    """
    kept = [(area, influence) for area, influence in zip(areas, influences, strict=True) if has_error(area)]
    if len(kept) < 2:
        return NO_TEST
    by_patient = np.column_stack([influence for _, influence in kept])
    contrasts = np.column_stack([np.ones(len(kept) - 1), -np.eye(len(kept) - 1)])
    differences = contrasts @ np.array([area.value for area, _ in kept])
    spread = contrasts @ by_patient.T @ by_patient @ contrasts.T
    if np.linalg.eigvalsh(spread).min() <= NOTHING**2 or np.linalg.cond(spread) > 1e12:
        return NO_TEST
    statistic, number = float(differences @ np.linalg.solve(spread, differences)), len(differences)
    p_value = float(f.sf(statistic / number, number, joined_freedom([area for area, _ in kept])))
    return Heterogeneity(statistic, number, p_value)


def joined_freedom(areas: Sequence[Area]) -> float:
    """Return Satterthwaite's degrees of freedom for the sum of the variances of some areas."""
    return satterthwaite([area.error**2 for area in areas], [area.freedom for area in areas])


def false_discovery_rates(p_values: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """Return p values adjusted over all of them (Benjamini and Hochberg 1995); `nan` stays and does not count."""
    defined = {key: value for key, value in p_values.items() if math.isfinite(value)}
    rates = false_discovery_control(list(defined.values())) if defined else np.array([])
    return dict.fromkeys(p_values, math.nan) | dict(zip(defined, map(float, rates), strict=True))
