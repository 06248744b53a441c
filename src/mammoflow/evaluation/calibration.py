"""Whether predicted probabilities are right: how often lesions of a probability are malignant."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from mammoflow.evaluation.candidates import CLASSIFIER, FEATURE_MODEL, FUSION, Candidate
from mammoflow.evaluation.ensembles import NEAREST_TO_CERTAIN
from mammoflow.evaluation.metrics import FloatArray, auc
from mammoflow.evaluation.seen_patients import seen_columns

WITH_PROBABILITIES = (CLASSIFIER, FUSION, FEATURE_MODEL)
"""Families whose scores are probabilities of malignancy."""

BINS = 10

MEASURES = ("brier_score", "expected_calibration_error", "calibration_slope", "calibration_intercept")


def calibration_table(candidates: Sequence[Candidate], lesions: pd.DataFrame, note: str) -> pd.DataFrame:
    """Return the calibration of each model that gives probabilities, as means over its seeds.

    Parameters
    ----------
    candidates
        What the comparison compares; readers, floors and ceilings have no row.
    lesions
        Labelled test lesions, indexed by lesion.
    note
        What is true of the whole study and is in every row.
    """
    rows = []
    for candidate in (one for one in candidates if one.family in WITH_PROBABILITIES):
        scored = candidate.scored(lesions)
        label = lesions.loc[scored, "malignant"].to_numpy(dtype=np.float64)
        of_seeds = [calibration(label, run.loc[scored, "score"].to_numpy()) for run in candidate.runs.values()]
        rows.append(
            {"model": candidate.model, "family": candidate.family, "n": len(scored), "n_malignant": int(label.sum())}
            | {name: float(np.mean([of_seed[name] for of_seed in of_seeds])) for name in MEASURES}
            | seen_columns(candidate.seen, lesions.loc[scored, "patient_id"], note)
        )
    return pd.DataFrame(rows, columns=["model", "family", "n", "n_malignant", *MEASURES, "seen_test_patients", "note"])


def calibration(label: FloatArray, probability: FloatArray) -> dict[str, float]:
    """Return the measures of calibration of probabilities.

    Parameters
    ----------
    label
        (lesions,): 1 malignant, 0 benign.
    probability
        (lesions,): predicted probability of malignancy.

    Returns
    -------
    dict
        `brier_score`, the mean squared error (Brier, Monthly Weather Review 78, 1950); `expected_calibration_error`
        over bins of equal counts (Naeini et al., AAAI 2015; Nixon et al., CVPR workshops 2019);
        `calibration_slope`, the slope of a logistic regression of the label on the logit (Cox, Biometrika 45, 1958),
        1 where probabilities are right and less where they are too extreme; `calibration_intercept`, its intercept
        where the slope is held at 1 (calibration in the large; Van Calster et al., BMC Medicine 17, 2019), below 0
        where probabilities are too high. `nan` without lesions; slope and intercept also with one class, and the slope
        where the probabilities part the classes, or are all the same.
    """
    if len(label) == 0:
        return dict.fromkeys(MEASURES, math.nan)
    logits = logit(np.clip(probability, NEAREST_TO_CERTAIN, 1 - NEAREST_TO_CERTAIN))
    return {
        "brier_score": float(np.mean((probability - label) ** 2)),
        "expected_calibration_error": _expected_error(label, probability),
        "calibration_slope": _slope(label, logits),
        "calibration_intercept": _intercept(label, logits),
    }


def reliability(label: FloatArray, probability: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mean probability, share of malignant lesions and number of lesions of each bin of equal counts.

    Parameters
    ----------
    label, probability
        (lesions,), at least one.

    Returns
    -------
    tuple
        Three arrays (bins,); there are `BINS` bins, or one for each lesion where there are fewer.
    """
    order = np.argsort(probability, kind="stable")
    bins = np.array_split(order, min(BINS, len(order)))
    means = np.array([probability[part].mean() for part in bins])
    shares = np.array([label[part].mean() for part in bins])
    return means, shares, np.array([len(part) for part in bins], dtype=np.float64)


def _expected_error(label: FloatArray, probability: FloatArray) -> float:
    means, shares, counts = reliability(label, probability)
    return float(np.average(np.abs(means - shares), weights=counts))


def _slope(label: FloatArray, logits: FloatArray) -> float:
    area = float(auc(label, logits, np.ones((1, len(logits))))[0])
    if not 0 < area < 1 or np.ptp(logits) < 1e-9:
        return math.nan
    spread = float(logits.std())
    scaled = ((logits - logits.mean()) / spread)[:, None]
    return float(LogisticRegression(C=np.inf, max_iter=1000).fit(scaled, label).coef_[0, 0]) / spread


def _intercept(label: FloatArray, logits: FloatArray) -> float:
    if len(np.unique(label)) < 2:
        return math.nan
    return float(brentq(lambda shift: float(expit(logits + shift).mean() - label.mean()), -60, 60))
