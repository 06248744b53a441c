"""The AUC within folds: each lesion is ranked only against lesions that the same training scored.

The pooled ranking of a cross-validation mixes the scores of several trainings, whose scales may differ. The mean over
folds of the AUC of each fold does not. Its variance follows from the influence of each lesion (LeDell, Petersen and van
der Laan, Electronic Journal of Statistics 9, 2015), summed over the lesions of a patient, who is in one fold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.delong import NOTHING, Area, AreaDifference, clustered_spread, components
from mammoflow.evaluation.estimates import Scored
from mammoflow.evaluation.metrics import FloatArray, IntArray
from mammoflow.evaluation.paired import Paired

NAME = "auc_within_folds"


def within_folds_area(
    label: FloatArray, scores: Sequence[FloatArray], patients: Sequence[str] | IntArray, folds: IntArray
) -> Area:
    """Return the mean over folds of the area under the ROC curve.

    Parameters
    ----------
    label
        (lesions,): 1 malignant, 0 benign.
    scores
        One (lesions,) for each seed; the area is the mean over seeds.
    patients
        (lesions,): the patient of each lesion.
    folds
        (lesions,): the fold of each lesion; a patient is in one fold.

    Returns
    -------
    Area
        `nan` where a fold does not have both classes.
    """
    value, deviation = _ranked(label, scores, folds)
    if not math.isfinite(value):
        return Area(math.nan, math.nan, math.nan, 0, 0)
    spread = clustered_spread(label == 1, deviation, patients)
    return Area(value, spread.error, spread.freedom, *spread.clusters)


def within_folds_difference(first: Scored, second: Scored, folds: IntArray) -> AreaDifference:
    """Compare the areas of two models within folds, on the same lesions.

    Parameters
    ----------
    first, second
        What either model says of the lesions.
    folds
        (lesions,): the fold of each lesion.
    """
    (one, of_one), (other, of_other) = (_ranked(scored.label, scored.scores, folds) for scored in (first, second))
    if not math.isfinite(one) or not math.isfinite(other):
        return AreaDifference(math.nan, math.nan, math.nan)
    error = clustered_spread(first.label == 1, of_one - of_other, first.patients).error
    return AreaDifference(one, other, error if error > NOTHING else math.nan)


def _ranked(label: FloatArray, scores: Sequence[FloatArray], folds: IntArray) -> tuple[float, FloatArray]:
    """Return the mean area, and what each lesion adds to its deviation times the number of lesions of its class.

    Every fold has the same weight. So the lesions of a fold with few of a class have larger weights.
    """
    numbers, deviation, areas = np.unique(folds), np.zeros(len(label)), []
    total = {value: float((label == value).sum()) for value in (0, 1)}
    for number in numbers:
        rows = np.flatnonzero(folds == number)
        of_fold = label[rows]
        if len(np.unique(of_fold)) < 2:
            return math.nan, deviation
        found = components(of_fold, [score[rows] for score in scores])
        areas.append(float(found[of_fold == 1].mean()))
        for value in (0, 1):
            of_class = of_fold == value
            weight = total[value] / float(of_class.sum()) / len(numbers)
            deviation[rows[of_class]] = weight * (found[of_class] - areas[-1])
    return float(np.mean(areas)) if areas else math.nan, deviation


def with_areas_within_folds(
    table: pd.DataFrame,
    candidates: Sequence[Candidate],
    lesions: pd.DataFrame,
    folds: pd.Series,
    rule: PatientBootstrap,
) -> pd.DataFrame:
    """Return a comparison of pooled folds with the AUC within folds beside that of the pooled ranking.

    Parameters
    ----------
    table
        Of `comparison_table`, one row for each candidate.
    candidates
        In the order of the rows; the first one is BI-RADS.
    lesions
        Labelled test lesions of all folds, indexed by lesion.
    folds
        The fold that held each lesion out, indexed by lesion.
    rule
        Coverage of the intervals, and the fewest patients of a class.

    Returns
    -------
    DataFrame
        With the columns `auc_within_folds` and `auc_within_folds_difference`, the latter against BI-RADS on the lesions
        that both score, each with bounds, and `auc_within_folds_difference_p`.
    """
    rows = [_columns(candidate, candidates[0], lesions, folds, rule) for candidate in candidates]
    added = pd.DataFrame(rows, index=table.index)
    place = list(table.columns).index("auc_high") + 1
    return pd.concat([table.iloc[:, :place], added, table.iloc[:, place:]], axis=1)


def _columns(
    candidate: Candidate, birads: Candidate, lesions: pd.DataFrame, folds: pd.Series, rule: PatientBootstrap
) -> dict[str, float]:
    scored = candidate.scored(lesions)
    said = candidate.on(lesions, scored)
    found = within_folds_area(said.label, said.scores, said.patients, folds.loc[scored].to_numpy(dtype=np.int64))
    bounds = found.interval(rule.confidence) if said.has_both(rule.fewest_patients) else (math.nan, math.nan)
    columns = Estimate(found.value, *bounds).columns(NAME)
    paired = Paired.of(candidate, birads, lesions[:0] if candidate is birads else lesions)
    of_pair = folds.loc[paired.lesions.index].to_numpy(dtype=np.int64)
    difference = within_folds_difference(paired.first, paired.second, of_pair)
    enough = paired.has_enough(rule.fewest_patients)
    bounds = difference.interval(rule.confidence) if enough else (math.nan, math.nan)
    columns |= Estimate(difference.value, *bounds).columns(f"{NAME}_difference")
    return columns | {f"{NAME}_difference_p": difference.p_value if enough else math.nan}
