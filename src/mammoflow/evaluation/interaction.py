"""Whether the AUC of a model differs between the groups of a grouping, where a patient may be in several groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, false_discovery_control

from mammoflow.evaluation.delong import NOTHING
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
        Of the chi-squared distribution.
    """

    statistic: float
    freedom: int
    p_value: float


NO_TEST = Heterogeneity(math.nan, 0, math.nan)


def area_influence(label: FloatArray, found: FloatArray, patients: IntArray, number: int) -> FloatArray:
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

    Returns
    -------
    ndarray
        (number,); 0 for patients without a lesion here.
    """
    count = np.where(label == 1, label.sum(), len(label) - label.sum())
    deviation = (found - found[label == 1].mean()) / count
    return np.bincount(patients, weights=deviation, minlength=number).astype(np.float64)


def heterogeneity(areas: Sequence[float], influences: Sequence[FloatArray]) -> Heterogeneity:
    """Test whether the areas of groups are equal: Wald's test with the covariance of the groups over patients.

    The covariance is that of Obuchowski (Biometrics 53, 1997), taken over all patients, so that lesions of one patient
    in several groups count as what they are.

    Parameters
    ----------
    areas
        One for each group.
    influences
        One (patients,) for each group, of `area_influence`.
    """
    if len(areas) < 2:
        return NO_TEST
    by_patient = np.column_stack(influences)
    present = np.abs(by_patient).sum(axis=1) > 0
    number = int(present.sum())
    if number < 2:
        return NO_TEST
    covariance = number / (number - 1) * by_patient.T @ by_patient
    contrasts = np.column_stack([np.ones(len(areas) - 1), -np.eye(len(areas) - 1)])
    differences = contrasts @ np.asarray(areas)
    spread = contrasts @ covariance @ contrasts.T
    if np.linalg.eigvalsh(spread).min() <= NOTHING**2 or np.linalg.cond(spread) > 1e12:
        return NO_TEST
    statistic = float(differences @ np.linalg.solve(spread, differences))
    return Heterogeneity(statistic, len(differences), float(chi2.sf(statistic, len(differences))))


def false_discovery_rates(p_values: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """Return p values adjusted over all of them (Benjamini and Hochberg 1995); `nan` stays and does not count."""
    defined = {key: value for key, value in p_values.items() if math.isfinite(value)}
    rates = false_discovery_control(list(defined.values())) if defined else np.array([])
    return dict.fromkeys(p_values, math.nan) | dict(zip(defined, map(float, rates), strict=True))
