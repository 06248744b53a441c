"""The table of every candidate against BI-RADS, on one set of lesions, with intervals and paired differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mammoflow.evaluation.auc_tests import paired_difference
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.metrics import METRICS, FloatArray, measure
from mammoflow.evaluation.seen_patients import seen_columns

DIFFERENCES = ("auc", "accuracy")


def seed_metrics(
    candidate: Candidate, lesions: pd.DataFrame, lesion_ids: pd.Index, weights: FloatArray
) -> dict[str, FloatArray]:
    """Return each metric of a candidate's runs on some lesions, (seeds, 1 + resamples)."""
    label = lesions.loc[lesion_ids, "malignant"].to_numpy(dtype=np.float64)
    measured = [measure(label, score, called, weights) for score, called in candidate.values(lesion_ids)]
    return {metric: np.stack([values[metric] for values in measured]) for metric in METRICS}


def candidate_row(
    candidate: Candidate, lesions: pd.DataFrame, birads: Candidate, bootstrap: PatientBootstrap
) -> dict[str, object]:
    """Return one row of the table.

    Metrics are means over the candidate's seeds, each seed scored on the same resamples; `*_seed_std` is the standard
    deviation over seeds. Differences against BI-RADS are taken on the lesions that both score; `auc_difference_p` is
    the p value of the paired test of `mammoflow.evaluation.delong`.

    Parameters
    ----------
    candidate
        What the row is about.
    lesions
        Labelled lesions of one split, indexed by lesion: `malignant`, `patient_id`.
    birads
        The radiologist's assessment.
    bootstrap
        Resampling of patients.
    """
    scored = candidate.scored(lesions)
    patients = lesions.loc[scored, "patient_id"].tolist()
    values = seed_metrics(candidate, lesions, scored, bootstrap.weights(patients))
    row: dict[str, object] = {
        "model": candidate.model,
        "family": candidate.family,
        "seeds": len(candidate.runs),
        "n": len(scored),
        "n_malignant": int(lesions.loc[scored, "malignant"].sum()),
        "patients": len(set(patients)),
        "n_without_prediction": len(lesions) - len(scored),
        "threshold": candidate.threshold,
    }
    for metric in METRICS:
        estimate = bootstrap.estimate(values[metric].mean(axis=0), patients)
        row |= estimate.columns(metric)
        row[f"{metric}_resamples"] = estimate.resamples
        row[f"{metric}_seed_std"] = _spread(values[metric][:, 0])
    row |= _difference_columns(candidate, lesions, birads, bootstrap, values if len(scored) else None)
    return row


def _spread(values: FloatArray) -> float:
    """Return the standard deviation over seeds; not defined for one seed."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def _difference_columns(
    candidate: Candidate,
    lesions: pd.DataFrame,
    birads: Candidate,
    bootstrap: PatientBootstrap,
    on_scored: dict[str, FloatArray] | None,
) -> dict[str, float]:
    """Return candidate minus BI-RADS on the lesions that both score, resampled together.

    `on_scored` are the candidate's metrics on all lesions that it scores, used again where BI-RADS scores them all.
    """
    scored = candidate.scored(lesions)
    both = birads.scored(lesions.loc[scored])
    if candidate is birads:
        both = both[:0]
    patients = lesions.loc[both, "patient_id"].tolist()
    weights = bootstrap.weights(patients)
    if on_scored is not None and len(both) == len(scored):
        candidate_values = on_scored
    else:
        candidate_values = seed_metrics(candidate, lesions, both, weights)
    birads_values = seed_metrics(birads, lesions, both, weights)
    columns: dict[str, float] = {"n_paired": len(both)}
    for metric in DIFFERENCES:
        difference = bootstrap.estimate(
            candidate_values[metric].mean(axis=0) - birads_values[metric].mean(axis=0), patients
        )
        columns |= difference.columns(f"{metric}_difference")
    columns["auc_difference_p"] = paired_difference(candidate, birads, lesions.loc[both]).p_value
    return columns


def comparison_table(
    candidates: Sequence[Candidate],
    lesions: pd.DataFrame,
    birads: Candidate,
    bootstrap: PatientBootstrap,
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
    bootstrap
        Resampling of patients.
    split
        `train`, `validation` or `test`.
    note
        What is true of the whole study and must be in every row ("phantom", "leaking"), or "".
    """
    rows = lesions[lesions["split"] == split]
    table = pd.DataFrame(
        [
            candidate_row(candidate, rows, birads, bootstrap) | _said(candidate, rows, split, note)
            for candidate in candidates
        ]
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
                    **seen_columns(candidate.seen, lesions.loc[scored, "patient_id"], note),
                }
            )
    return pd.DataFrame(rows)
