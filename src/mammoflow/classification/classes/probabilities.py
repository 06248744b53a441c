"""Numbers of several classes: weights in the loss, probabilities, the mean AUC, and the temperature."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from mammoflow.classification.calibration import LARGEST, SMALLEST, Temperature
from mammoflow.classification.threshold import FEWEST_CASES, area_under_curve

Numbers = npt.NDArray[np.floating]


def class_weights(labels: Numbers, classes: int, balanced: bool) -> npt.NDArray[np.float64]:
    """Return the weight (classes,) of a case of each class in the loss; the mean over the cases is 1.

    Parameters
    ----------
    labels
        (n,) numbers of classes, each of which occurs.
    classes
        Number of classes.
    balanced
        Whether all classes have the same total weight, or each case has the same weight.
    """
    if not balanced:
        return np.ones(classes)
    counts = np.bincount(labels.astype(np.intp), minlength=classes)
    return len(labels) / (classes * counts.astype(np.float64))


def probabilities_of(logits: Numbers, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Return the probabilities (n, classes) of logits that are divided by a temperature."""
    found: npt.NDArray[np.float64] = np.exp(log_softmax(logits / temperature, axis=1))
    return found


def macro_area(labels: Numbers, probabilities: Numbers) -> float:
    """Return the mean over the classes of the AUC of each class against the rest (Provost and Domingos, 2000).

    Parameters
    ----------
    labels
        (n,) numbers of classes.
    probabilities
        (n, classes).

    Returns
    -------
    float
        NaN where a class or its rest does not occur, or a probability is not finite.
    """
    columns = range(probabilities.shape[1])
    areas = [area_under_curve((labels == number).astype(float), probabilities[:, number]) for number in columns]
    return float(np.mean(areas))


def fit_class_temperature(labels: Numbers, logits: Numbers, weights: Numbers) -> Temperature:
    """Fit the temperature that gives validation images the least cross entropy (Guo et al., ICML 2017).

    Parameters
    ----------
    labels
        (n,) numbers of classes, of validation images.
    logits
        (n, classes).
    weights
        (classes,) of the training loss, so that probabilities stay those of the same population.

    Returns
    -------
    Temperature
        1 where validation has too few images of a class.
    """
    target = labels.astype(np.intp)
    counts = np.bincount(target, minlength=logits.shape[1])
    if counts.min() < FEWEST_CASES:
        return Temperature(
            1.0, f"none: {int(counts.min())} validation images of the rarest class, fewer than {FEWEST_CASES}"
        )

    def loss(log_temperature: float) -> float:
        chosen = log_softmax(logits / math.exp(log_temperature), axis=1)[np.arange(len(target)), target]
        return float(-(weights[target] * chosen).mean())

    bounds = (math.log(SMALLEST), math.log(LARGEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return Temperature(float(math.exp(found.x)), "least cross entropy on validation")
