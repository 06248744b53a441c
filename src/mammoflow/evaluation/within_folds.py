"""The AUC within folds: each lesion is ranked only against lesions that the same training scored.

The pooled ranking of a cross-validation mixes the scores of several trainings, whose scales may differ. The mean over
folds of the AUC of each fold does not. Its variance is that of the influence of each lesion (LeDell, Petersen and van
der Laan, Electronic Journal of Statistics 9, 2015), summed over the lesions of a patient, who is in one fold. It is
computed in each fold with the number of patients of that fold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.delong import (
    NO_DIFFERENCE,
    NOTHING,
    Area,
    AreaDifference,
    Spread,
    area,
    clustered_spread,
    components,
    satterthwaite,
)
from mammoflow.evaluation.estimates import Scored
from mammoflow.evaluation.metrics import FloatArray, IntArray, patient_codes
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
        `nan` where a fold does not have both classes; without an interval where a fold has one patient of a class.
    """
    codes, _ = patient_codes(patients)
    parts = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    areas = [area(label[rows], [score[rows] for score in scores], codes[rows]) for rows in parts]
    value = float(np.mean([one.value for one in areas])) if areas else math.nan
    spread = _mean_spread([Spread(one.error, one.freedom, (one.malignant, one.benign)) for one in areas])
    clusters = spread.clusters if math.isfinite(spread.error) else (0, 0)
    return Area(value, spread.error, spread.freedom, *clusters)


def within_folds_difference(first: Scored, second: Scored, folds: IntArray) -> AreaDifference:
    """Compare the areas of two models within folds, on the same lesions.

    Parameters
    ----------
    first, second
        What either model says of the lesions.
    folds
        (lesions,): the fold of each lesion.
    """
    areas, spreads = [], []
    for fold in np.unique(folds):
        one, other = (scored.part(folds == fold) for scored in (first, second))
        if len(np.unique(one.label)) < 2:
            return NO_DIFFERENCE
        malignant = one.label == 1
        found = [components(scored.label, scored.scores) for scored in (one, other)]
        areas.append([float(of_model[malignant].mean()) for of_model in found])
        deviation = found[0] - found[1] - (areas[-1][0] - areas[-1][1])
        spreads.append(clustered_spread(malignant, deviation, one.patients))
    if not areas:
        return NO_DIFFERENCE
    spread, (mean, other_mean) = _mean_spread(spreads), np.mean(areas, axis=0)
    error = spread.error if spread.error > NOTHING else math.nan
    return AreaDifference(float(mean), float(other_mean), error, spread.freedom)


def _mean_spread(spreads: Sequence[Spread]) -> Spread:
    """Return the error of a mean over folds from those of the folds, whose patients are different ones.

    The degrees of freedom are Satterthwaite's; `nan` where a fold has no error.
    """
    variances = [one.error**2 for one in spreads]
    clusters = sum(one.clusters[0] for one in spreads), sum(one.clusters[1] for one in spreads)
    freedom = satterthwaite(variances, [one.freedom for one in spreads])
    return Spread(math.sqrt(sum(variances)) / max(len(spreads), 1), freedom, clusters)


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
