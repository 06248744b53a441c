"""Paired differences of two candidates on the lesions that both score: areas under the curve, and decisions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.decisions import DecisionDifference, compare_decisions
from mammoflow.evaluation.delong import AreaDifference, area_difference, components
from mammoflow.evaluation.estimates import Scored


def both_scored(first: Candidate, second: Candidate, lesions: pd.DataFrame) -> pd.DataFrame:
    """Return the lesions that both candidates have a prediction for."""
    return lesions.loc[second.scored(lesions.loc[first.scored(lesions)])]


def has_enough(lesions: pd.DataFrame, fewest: int) -> bool:
    """Tell whether enough patients have a malignant lesion, and enough a benign one.

    Parameters
    ----------
    lesions
        With `malignant` and `patient_id`.
    fewest
        Smallest number of patients of either class.
    """
    patients = [lesions.loc[(lesions["malignant"] == value).fillna(False), "patient_id"].nunique() for value in (0, 1)]
    return min(patients) >= fewest


def paired_areas(first: Candidate, second: Candidate, lesions: pd.DataFrame) -> AreaDifference:
    """Test the difference in AUC of two candidates on lesions that both score; areas are means over seeds.

    Parameters
    ----------
    first, second
        What is compared.
    lesions
        Indexed by lesion, each scored by both: `malignant`, `patient_id`.
    """
    one, other = (Scored.of_candidate(candidate, lesions, lesions.index) for candidate in (first, second))
    if len(np.unique(one.label)) < 2:
        return AreaDifference(float("nan"), float("nan"), float("nan"))
    ranked = [components(one.label, scored.scores) for scored in (one, other)]
    return area_difference(one.label, ranked[0], ranked[1], one.patients)


def paired_decisions(first: Candidate, second: Candidate, lesions: pd.DataFrame) -> DecisionDifference:
    """Test how often two candidates decide rightly on lesions that both score.

    Parameters
    ----------
    first, second
        What is compared.
    lesions
        Indexed by lesion, each scored by both: `malignant`, `patient_id`. Only the malignant ones give the difference
        in recall, only the benign ones that in specificity.
    """
    one, other = (Scored.of_candidate(candidate, lesions, lesions.index) for candidate in (first, second))
    right = [_right(scored.calls, scored) for scored in (one, other)]
    return compare_decisions(right[0], right[1], one.patients)


def _right(calls: Sequence[np.ndarray], scored: Scored) -> list[np.ndarray]:
    return [(call == scored.label).astype(np.float64) for call in calls]
