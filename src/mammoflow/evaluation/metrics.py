"""Classification metrics under row weights, many weightings at once.

A bootstrap over patients is a weighting of rows: a patient drawn twice counts twice. So each metric takes a matrix of
weights, (resamples, rows), and returns one value for each resample; `nan` means that the metric is not defined there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]

METRICS = ("accuracy", "precision", "recall", "specificity", "npv", "f1", "auc")

RESAMPLES_TOGETHER = 128
"""Weightings that are ranked at once, so that the numbers stay in the cache of the processor."""


def patient_codes(patients: Sequence[str] | IntArray) -> tuple[IntArray, int]:
    """Return a number for the patient of each row, in the order of the names, and the number of patients.

    Patients that are numbers already, not below 0, are numbered without gaps.
    """
    if isinstance(patients, np.ndarray) and np.issubdtype(patients.dtype, np.integer):
        present = np.bincount(patients) > 0
        return (np.cumsum(present) - 1)[patients], int(present.sum())
    names, codes = np.unique(np.asarray(patients, dtype=object).astype(str), return_inverse=True)
    return codes, len(names)


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Divide element by element; `nan` where the denominator is 0."""
    result = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    np.divide(numerator, denominator, out=result, where=np.asarray(denominator) != 0)
    return result


def confusion(label: FloatArray, predicted: FloatArray, weights: FloatArray) -> dict[str, FloatArray]:
    """Count true and false positives and negatives.

    Parameters
    ----------
    label, predicted
        (rows,): 1 malignant, 0 benign.
    weights
        (resamples, rows).

    Returns
    -------
    dict
        `true_positive`, `false_positive`, `false_negative`, `true_negative`, each (resamples,).
    """
    cells = np.stack([label * predicted, (1 - label) * predicted, label * (1 - predicted)], axis=1)
    counts = weights @ np.column_stack([cells, 1 - cells.sum(axis=1)])
    names = ("true_positive", "false_positive", "false_negative", "true_negative")
    return {name: counts[:, place] for place, name in enumerate(names)}


def auc(label: FloatArray, score: FloatArray, weights: FloatArray) -> FloatArray:
    """Area under the ROC curve as the Mann-Whitney statistic: ties count one half.

    Parameters
    ----------
    label, score
        (rows,): 1 malignant, 0 benign; a higher score is more suspicious.
    weights
        (resamples, rows).

    Returns
    -------
    ndarray
        (resamples,); `nan` where a resample has no malignant or no benign row.
    """
    malignant, benign = (np.flatnonzero(label == value) for value in (1, 0))
    malignant, benign = (rows[np.argsort(score[rows], kind="stable")] for rows in (malignant, benign))
    # A malignant row is ranked above the benign rows before `below`, and ties with those from there to `to`.
    below, to = (np.searchsorted(score[benign], score[malignant], side) for side in ("left", "right"))
    areas = np.empty(len(weights))
    for start in range(0, len(weights), RESAMPLES_TOGETHER):
        drawn = np.ascontiguousarray(weights[start : start + RESAMPLES_TOGETHER].T, dtype=np.float64)
        positive = drawn[malignant]
        summed = np.zeros((len(benign) + 1, drawn.shape[1]))
        np.cumsum(drawn[benign], axis=0, out=summed[1:])
        ranked = np.einsum("ij,ij->j", positive, summed[below])
        if (below < to).any():
            ranked = (ranked + np.einsum("ij,ij->j", positive, summed[to])) / 2
        areas[start : start + RESAMPLES_TOGETHER] = ratio(ranked, positive.sum(axis=0) * summed[-1])
    return areas


def measure(label: FloatArray, score: FloatArray, predicted: FloatArray, weights: FloatArray) -> dict[str, FloatArray]:
    """Compute every metric of `METRICS` for each weighting.

    Precision is not defined without a positive call, recall without a malignant row, specificity without a benign
    row, NPV (negative predictive value) without a negative call, F1 where there is neither a malignant row nor a
    positive call, AUC unless both classes are there.

    Parameters
    ----------
    label, score, predicted
        (rows,).
    weights
        (resamples, rows).

    Returns
    -------
    dict
        Metric to (resamples,).
    """
    counts = confusion(label, predicted, weights)
    hit, false_alarm = counts["true_positive"], counts["false_positive"]
    miss, correct_rejection = counts["false_negative"], counts["true_negative"]
    return {
        "accuracy": ratio(hit + correct_rejection, hit + false_alarm + miss + correct_rejection),
        "precision": ratio(hit, hit + false_alarm),
        "recall": ratio(hit, hit + miss),
        "specificity": ratio(correct_rejection, correct_rejection + false_alarm),
        "npv": ratio(correct_rejection, correct_rejection + miss),
        "f1": ratio(2 * hit, 2 * hit + false_alarm + miss),
        "auc": auc(label, score, weights),
    }
