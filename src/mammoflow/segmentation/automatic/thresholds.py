"""The threshold of a probability map: the one with the largest mean Dice on the validation images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mammoflow.imaging.geometry import Mask

THRESHOLDS = np.round(np.arange(0.05, 0.96, 0.05), 2)
"""Thresholds among which the validation images choose."""


def dice_by_threshold(probability: npt.NDArray[np.float32], lesions: Mask) -> npt.NDArray[np.float64]:
    """Return the Dice (thresholds,) of the pixels above each threshold with the lesions of an image.

    Parameters
    ----------
    probability
        (rows, columns), 0 to 1.
    lesions
        (rows, columns): the union of the lesions; at least one pixel.
    """
    # A bin holds its upper edge: a pixel at a threshold is not above it.
    bins = np.searchsorted(THRESHOLDS.astype(np.float32), probability, side="left")
    marked = _above(bins)
    shared = _above(bins[lesions])
    return np.asarray(2 * shared / (marked + np.count_nonzero(lesions)))


def _above(bins: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """Return how many values are above each threshold."""
    counts = np.bincount(bins.ravel(), minlength=len(THRESHOLDS) + 1)
    return np.asarray(counts[::-1].cumsum()[::-1][1:])


def best_threshold(dice: npt.NDArray[np.float64], given: float | None = None) -> tuple[float, float]:
    """Return the threshold with the largest mean Dice of several images (images, thresholds), and that mean.

    Of equal ones it is the middle one. With a threshold that is given, the mean is that of the nearest of
    `THRESHOLDS`.
    """
    means = dice.mean(axis=0)
    if given is not None:
        return given, float(means[np.abs(THRESHOLDS - given).argmin()])
    best = np.flatnonzero(means >= means.max() - 1e-12)
    return float(THRESHOLDS[best[len(best) // 2]]), float(means.max())
