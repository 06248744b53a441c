"""Classification metrics under row weights, many weightings at once.

A bootstrap over patients is a weighting of rows: a patient drawn twice counts twice. So each metric takes a matrix of
weights, (resamples, rows) or (resamples, patients), and returns one value for each resample; `nan` means that the
metric is not defined there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]

METRICS = ("accuracy", "precision", "recall", "specificity", "npv", "f1", "auc")

RESAMPLES_TOGETHER = 512
"""Weightings that are ranked at once, so that the numbers stay in the cache of the processor."""

EXACT_IN_SINGLE = 2.0**24
"""Whole numbers up to this one are exact in single precision."""


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
    if np.all(denominator):
        return np.asarray(numerator / denominator)
    result = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    np.divide(numerator, denominator, out=result, where=np.asarray(denominator) != 0)
    return result


def confusion(
    label: FloatArray, predicted: FloatArray, weights: FloatArray, units: IntArray | None = None
) -> dict[str, FloatArray]:
    """Count true and false positives and negatives.

    Parameters
    ----------
    label, predicted
        (rows,): 1 malignant, 0 benign.
    weights
        (resamples, rows), or (resamples, units): the weight of a unit, such as a patient, is that of all its rows.
    units
        (rows,): number of the unit of each row; None where each row has a weight of its own.

    Returns
    -------
    dict
        `true_positive`, `false_positive`, `false_negative`, `true_negative`, each (resamples,).
    """
    hit, alarm, miss = label * predicted, (1 - label) * predicted, label * (1 - predicted)
    cells = np.stack([hit, alarm, miss, 1 - hit - alarm - miss])
    if units is not None:
        cells = np.stack([np.bincount(units, weights=cell, minlength=weights.shape[1]) for cell in cells])
    counts = cells.astype(weights.dtype) @ weights.T
    names = ("true_positive", "false_positive", "false_negative", "true_negative")
    return {name: count.astype(np.float64) for name, count in zip(names, counts, strict=True)}


def auc(label: FloatArray, score: FloatArray, weights: FloatArray, units: IntArray | None = None) -> FloatArray:
    """Area under the ROC curve as the Mann-Whitney statistic: ties count one half.

    Parameters
    ----------
    label, score
        (rows,): 1 malignant, 0 benign; a higher score is more suspicious.
    weights, units
        As for `confusion`. Counts in single precision are ranked in single precision, which loses nothing.

    Returns
    -------
    ndarray
        (resamples,); `nan` where a resample has no malignant or no benign row.
    """
    malignant, benign = (np.flatnonzero(label == value) for value in (1, 0))
    malignant, benign = (rows[np.argsort(score[rows], kind="stable")] for rows in (malignant, benign))
    # A malignant row is ranked above the benign rows before `below`, and ties with those from there to `to`.
    below, to = (np.searchsorted(score[benign], score[malignant], side) for side in ("left", "right"))
    has_ties = bool((below < to).any())
    places = [rows if units is None else units[rows] for rows in (malignant, benign)]
    shape = (min(RESAMPLES_TOGETHER, len(weights)), weights.dtype)
    # Memory that is taken once; taking it for each block takes as long as the sums.
    positive, ranked = (np.empty((len(malignant), shape[0]), shape[1]) for _ in range(2))
    summed = np.zeros((len(benign) + 1, shape[0]), shape[1])
    areas = np.empty(len(weights))
    for start in range(0, len(weights), RESAMPLES_TOGETHER):
        drawn = np.ascontiguousarray(weights[start : start + RESAMPLES_TOGETHER].T)
        size = drawn.shape[1]
        above, sums, of_benign = positive[:, :size], ranked[:, :size], summed[:, :size]
        np.take(drawn, places[0], axis=0, out=above, mode="clip")
        np.take(drawn, places[1], axis=0, out=of_benign[1:], mode="clip")
        _accumulate(of_benign)
        pairs = above.sum(axis=0).astype(np.float64) * of_benign[-1]
        is_exact = bool((2 * pairs < EXACT_IN_SINGLE).all())
        kind = drawn.dtype if is_exact else np.dtype(np.float64)
        won = np.zeros(size)
        for bounds in (below, to) if has_ties else (below,):
            np.take(of_benign, bounds, axis=0, out=sums, mode="clip")
            won += np.einsum("ij,ij->j", above, sums, dtype=kind)
        areas[start : start + size] = ratio(won / (2 if has_ties else 1), pairs)
    return areas


def _accumulate(rows: FloatArray) -> None:
    """Add to each row the one before it, from the first on; `np.cumsum` takes three times as long."""
    for before, row in pairwise(rows):
        np.add(before, row, out=row)


def measure(
    label: FloatArray,
    score: FloatArray,
    predicted: FloatArray,
    weights: FloatArray,
    units: IntArray | None = None,
) -> dict[str, FloatArray]:
    """Compute every metric of `METRICS` for each weighting.

    Precision is not defined without a positive call, recall without a malignant row, specificity without a benign
    row, NPV (negative predictive value) without a negative call, F1 where there is neither a malignant row nor a
    positive call, AUC unless both classes are there.

    Parameters
    ----------
    label, score, predicted
        (rows,).
    weights, units
        As for `confusion`.

    Returns
    -------
    dict
        Metric to (resamples,).
    """
    counts = confusion(label, predicted, weights, units)
    hit, false_alarm = counts["true_positive"], counts["false_positive"]
    miss, correct_rejection = counts["false_negative"], counts["true_negative"]
    return {
        "accuracy": ratio(hit + correct_rejection, hit + false_alarm + miss + correct_rejection),
        "precision": ratio(hit, hit + false_alarm),
        "recall": ratio(hit, hit + miss),
        "specificity": ratio(correct_rejection, correct_rejection + false_alarm),
        "npv": ratio(correct_rejection, correct_rejection + miss),
        "f1": ratio(2 * hit, 2 * hit + false_alarm + miss),
        "auc": auc(label, score, weights, units),
    }
