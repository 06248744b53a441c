"""The table of every candidate against BI-RADS, on one set of lesions, with intervals and paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.estimates import metric_estimates, seed_spread
from mammoflow.evaluation.metrics import METRICS
from mammoflow.evaluation.paired import Paired
from mammoflow.evaluation.seen_patients import seen_columns


def candidate_row(
    candidate: Candidate, lesions: pd.DataFrame, birads: Candidate, rule: PatientBootstrap
) -> dict[str, object]:
    """Return one row of the table.

    Metrics are means over the candidate's seeds; `*_seed_std` is the standard deviation over seeds. Differences against
    BI-RADS are taken on the lesions that both score; `auc_difference_p` is the p value of the paired test of
    `mammoflow.evaluation.delong`, `accuracy_difference_p` that of `mammoflow.evaluation.decisions`.

    Parameters
    ----------
    candidate
        What the row is about.
    lesions
        Labelled lesions of one split, indexed by lesion: `malignant`, `patient_id`.
    birads
        The radiologist's assessment.
    rule
        Coverage of the intervals, and the fewest patients of a class.
    """
    lesion_ids = candidate.scored(lesions)
    scored = candidate.on(lesions, lesion_ids)
    row: dict[str, object] = {
        "model": candidate.model,
        "family": candidate.family,
        "seeds": len(candidate.runs),
        "n": len(lesion_ids),
        "n_malignant": int(scored.label.sum()),
        "patients": len(np.unique(scored.patients)),
        "n_without_prediction": len(lesions) - len(lesion_ids),
        "threshold": candidate.threshold,
    }
    estimates, spread = metric_estimates(scored, rule), seed_spread(scored)
    for metric in METRICS:
        row |= estimates[metric].columns(metric)
        row[f"{metric}_seed_std"] = spread[metric]
    return row | _difference_columns(candidate, lesions, birads, rule)


def _difference_columns(
    candidate: Candidate, lesions: pd.DataFrame, birads: Candidate, rule: PatientBootstrap
) -> dict[str, float]:
    """Return candidate minus BI-RADS on the lesions that both score."""
    paired = Paired.of(candidate, birads, lesions[:0] if candidate is birads else lesions)
    enough = paired.has_enough(rule.fewest_patients)
    columns: dict[str, float] = {"n_paired": len(paired.lesions)}
    for metric, difference in (("auc", paired.areas), ("accuracy", paired.decisions)):
        bounds = difference.interval(rule.confidence) if enough else (math.nan, math.nan)
        columns |= Estimate(difference.value, *bounds).columns(f"{metric}_difference")
        columns[f"{metric}_difference_p"] = difference.p_value if enough else math.nan
    return columns


def comparison_table(
    candidates: Sequence[Candidate],
    lesions: pd.DataFrame,
    birads: Candidate,
    rule: PatientBootstrap,
    split: str,
    note: str,
) -> pd.DataFrame:
    """Return the table of one split: each candidate on every lesion that it scores.

    Parameters
    ----------
    candidates
        In the order of the rows.
    lesions
        All labelled lesions, indexed by lesion.
    birads
        The candidate that differences are taken against.
    rule
        Coverage of the intervals, and the fewest patients of a class.
    split
        `train`, `validation` or `test`.
    note
        What is true of the whole study and must be in every row ("phantom", "leaking"), or "".
    """
    rows = lesions[lesions["split"] == split]
    table = pd.DataFrame(
        [candidate_row(candidate, rows, birads, rule) | _said(candidate, rows, split, note) for candidate in candidates]
    )
    table.insert(2, "split", split)
    return table


def _said(candidate: Candidate, lesions: pd.DataFrame, split: str, note: str) -> dict[str, object]:
    """Return how many test patients were seen by the model that a row rests on, and the row's note."""
    patients = lesions.loc[candidate.scored(lesions), "patient_id"].tolist()
    return seen_columns(candidate.seen if split == "test" else None, patients, note, *candidate.notes)


def common_lesions(candidates: Sequence[Candidate], lesions: pd.DataFrame) -> pd.DataFrame:
    """Return the lesions that every candidate scores; candidates without any prediction are not asked."""
    lesion_ids = lesions.index
    for candidate in candidates:
        scored = candidate.scored(lesions)
        if len(scored):
            lesion_ids = lesion_ids.intersection(scored, sort=False)
    return lesions.loc[lesion_ids]


def confusion_table(candidates: Sequence[Candidate], lesions: pd.DataFrame, note: str) -> pd.DataFrame:
    """Count true and false positives and negatives of each candidate and seed on the given test lesions.

    `note` is true of the whole study and is in every row.
    """
    rows = []
    for candidate in candidates:
        scored = candidate.scored(lesions)
        label = lesions.loc[scored, "malignant"].to_numpy(dtype=int)
        for seed, run in candidate.runs.items():
            called = run.loc[scored, "predicted"].to_numpy(dtype=int)
            rows.append(
                {
                    "model": candidate.model,
                    "family": candidate.family,
                    "seed": seed,
                    "n": len(scored),
                    "true_positive": int((label & called).sum()),
                    "false_positive": int(((1 - label) & called).sum()),
                    "false_negative": int((label & (1 - called)).sum()),
                    "true_negative": int(((1 - label) & (1 - called)).sum()),
                    **seen_columns(candidate.seen, lesions.loc[scored, "patient_id"], note, *candidate.marking_notes),
                }
            )
    return pd.DataFrame(rows)
