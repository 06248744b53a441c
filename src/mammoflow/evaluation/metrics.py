"""Classification metrics under row weights, many weightings at once.

A bootstrap over patients is a weighting of rows: a patient drawn twice counts twice. So each metric takes a matrix of
weights, (resamples, rows), and returns one value for each resample; `nan` means that the metric is not defined there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]

METRICS = ("accuracy", "precision", "recall", "specificity", "f1", "auc")


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
    return {
        "true_positive": weights @ (label * predicted),
        "false_positive": weights @ ((1 - label) * predicted),
        "false_negative": weights @ (label * (1 - predicted)),
        "true_negative": weights @ ((1 - label) * (1 - predicted)),
    }


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
    if len(score) == 0:
        return np.full(len(weights), np.nan)
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    tie_starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    drawn = weights[:, order]
    negative = drawn * (1 - label[order])
    positive = drawn - negative
    if len(tie_starts) < len(order):
        negative, positive = (np.add.reduceat(part, tie_starts, axis=1) for part in (negative, positive))
    below = np.cumsum(negative, axis=1) - negative
    return ratio((positive * (below + negative / 2)).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def measure(label: FloatArray, score: FloatArray, predicted: FloatArray, weights: FloatArray) -> dict[str, FloatArray]:
    """Compute every metric of `METRICS` for each weighting.

    Precision is not defined without a positive call, recall without a malignant row, specificity without a benign
    row, F1 where there is neither a malignant row nor a positive call, AUC unless both classes are there.

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
        "f1": ratio(2 * hit, 2 * hit + false_alarm + miss),
        "auc": auc(label, score, weights),
    }
