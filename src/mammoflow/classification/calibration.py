"""Temperature scaling: logits divided by one number, fitted on validation (Guo et al., ICML 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from mammoflow.classification.threshold import few_cases

SMALLEST, LARGEST = 0.1, 10.0
"""Bounds of a temperature: a model that knows nothing would ask for an infinite one."""


@dataclass(frozen=True)
class Temperature:
    """What logits are divided by, and where it came from."""

    value: float
    origin: str


def negative_log_likelihood(
    labels: npt.NDArray[np.floating], logits: npt.NDArray[np.floating], malignant_weight: float
) -> float:
    """Return the mean cross entropy of logits (n,) with labels 0 or 1; malignant cases have a weight."""
    losses = np.where(labels == 1, malignant_weight * np.logaddexp(0, -logits), np.logaddexp(0, logits))
    return float(losses.mean())


def fit_temperature(
    labels: npt.NDArray[np.floating], logits: npt.NDArray[np.floating], malignant_weight: float
) -> Temperature:
    """Fit the temperature that gives validation lesions the least cross entropy; the order of lesions stays.

    Parameters
    ----------
    labels
        (n,) 0 or 1, of validation lesions.
    logits
        (n,) their logits of malignancy.
    malignant_weight
        Weight of a malignant case in the training loss, so that probabilities stay those of the same population.

    Returns
    -------
    Temperature
        1 where validation has too few cases of a class.
    """
    warning = few_cases(labels)
    if warning:
        return Temperature(1.0, f"none: {warning}")
    found = minimize_scalar(
        lambda log: negative_log_likelihood(labels, logits / math.exp(log), malignant_weight),
        bounds=(math.log(SMALLEST), math.log(LARGEST)),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return Temperature(float(math.exp(found.x)), "least cross entropy on validation")
