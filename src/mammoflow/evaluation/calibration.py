"""Whether predicted probabilities are right: how often lesions of a probability are malignant."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit, stdtrit
from sklearn.linear_model import LogisticRegression

from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.candidates import CLASSIFIER, FEATURE_MODEL, FUSION, Candidate
from mammoflow.evaluation.ensembles import NEAREST_TO_CERTAIN
from mammoflow.evaluation.estimates import Scored, proportion_estimate
from mammoflow.evaluation.floors import COLUMN_FLOORS
from mammoflow.evaluation.foreign import has_probabilities
from mammoflow.evaluation.metrics import FloatArray, IntArray, patient_codes, ratio
from mammoflow.evaluation.proportions import proportion
from mammoflow.evaluation.seen_patients import seen_columns

WITH_PROBABILITIES = (CLASSIFIER, FUSION, FEATURE_MODEL)
"""Families whose scores are probabilities of malignancy."""

CALIBRATED_READER = COLUMN_FLOORS["birads"]
"""The row that gives each BI-RADS assessment the share of malignant training lesions: the reader's probability."""

BINS = 10

ESTIMATED = ("brier_score", "scaled_brier_score", "calibration_slope", "calibration_intercept")
_COUNTS = ["model", "family", "n", "n_malignant", "patients"]
_COLUMNS = [
    *_COUNTS, *(f"{name}{end}" for name in ESTIMATED for end in ("", "_low", "_high")), "expected_calibration_error",
    "temperature", "seen_test_patients", "note",
]  # fmt: skip
_BIN_COLUMNS = [
    "model", "family", "bin", "n", "n_malignant", "patients", "lowest", "highest", "mean_probability",
    "malignant_share", "malignant_share_low", "malignant_share_high", "seen_test_patients", "note",
]  # fmt: skip


def with_probabilities(candidates: Sequence[Candidate], lesions: pd.DataFrame) -> Iterator[tuple[Candidate, pd.Index]]:
    """Give each candidate whose scores are probabilities, with the lesions that it scores; none without a lesion.

    The reader's probability is among them. Readers, other floors, ceilings, and scores of other tools that are no
    probabilities are not.
    """
    for one in candidates:
        if (one.family in WITH_PROBABILITIES or one.model == CALIBRATED_READER) and has_probabilities(one):
            yield one, one.scored(lesions)


def calibration_table(
    candidates: Sequence[Candidate],
    lesions: pd.DataFrame,
    rule: PatientBootstrap,
    note: str,
    training: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Return the calibration of each model that gives probabilities, as means over its seeds.

    Parameters
    ----------
    candidates
        What the comparison compares; those of `with_probabilities` have a row.
    lesions
        Labelled test lesions, indexed by lesion.
    rule
        The bootstrap, coverage of the intervals, and the fewest patients of a class.
    note
        What is true of the whole study and is in every row.
    training
        Training records of classifiers, which have their temperatures.
    """
    temperatures = mean_temperatures(training or {})
    rows = []
    for candidate, lesion_ids in with_probabilities(candidates, lesions):
        scored = candidate.on(lesions, lesion_ids)
        row: dict[str, object] = {
            "model": candidate.model,
            "family": candidate.family,
            "n": len(lesion_ids),
            "n_malignant": int(scored.label.sum()),
            "patients": len(np.unique(scored.patients)),
            "expected_calibration_error": expected_error(scored),
            "temperature": temperatures.get(candidate.model, math.nan),
        }
        for name, estimate in calibration(scored, rule).items():
            row |= estimate.columns(name)
        rows.append(
            row | seen_columns(candidate.seen, lesions.loc[lesion_ids, "patient_id"], note, *candidate.marking_notes)
        )
    return pd.DataFrame(rows, columns=_COLUMNS)


def calibration(scored: Scored, rule: PatientBootstrap) -> dict[str, Estimate]:
    """Return the measures of calibration of probabilities, as means over seeds, with intervals over patients.

    Parameters
    ----------
    scored
        Label, predicted probabilities and patients.
    rule
        The bootstrap, coverage, and the fewest patients of a class, below which there is no interval.

    Returns
    -------
    dict
        `brier_score`, the mean squared error (Brier, Monthly Weather Review 78, 1950); `scaled_brier_score`, 1 less its
        ratio to that of a model that always says the share of malignant lesions (Steyerberg et al., Epidemiology 21,
        2010), both with percentile intervals of the bootstrap; `calibration_slope`, the slope of a logistic regression
        of the label on the logit (Cox, Biometrika 45, 1958), 1 where probabilities are right and less where they are
        too extreme; `calibration_intercept`, its intercept where the slope is held at 1 (calibration in the large; Van
        Calster et al., BMC Medicine 17, 2019), below 0 where probabilities are too high. Slope and intercept have
        Wald's interval with the variance over patients (Liang and Zeger, Biometrika 73, 1986) and Student's quantile.
        `nan` without lesions; slope and intercept also with one class, and the slope where the probabilities part the
        classes, ties at the border included, or are all the same.
    """
    if len(scored.label) == 0:
        return dict.fromkeys(ESTIMATED, Estimate(math.nan, math.nan, math.nan))
    enough = scored.has_both(rule.fewest_patients)
    logits = [logit(np.clip(score, NEAREST_TO_CERTAIN, 1 - NEAREST_TO_CERTAIN)) for score in scored.scores]
    brier, scaled = _brier(scored, rule)
    if not enough:
        brier, scaled = (Estimate(one.value, math.nan, math.nan) for one in (brier, scaled))
    found = {"brier_score": brier, "scaled_brier_score": scaled}
    for name, fit in (("calibration_slope", _slope), ("calibration_intercept", _intercept)):
        fits = [fit(scored.label, of_seed) for of_seed in logits]
        value = float(np.mean([each for each, _ in fits]))
        influence = np.mean([each for _, each in fits], axis=0)
        found[name] = _wald(value, influence, scored.patients, rule, enough)
    return found


def expected_error(scored: Scored) -> float:
    """Return the mean distance of probability and share over bins of equal counts, as the mean over seeds.

    Naeini et al., AAAI 2015; Nixon et al., CVPR workshops 2019. It is above 0 even for right probabilities, and more
    so on resamples, so it has no interval.
    """
    if len(scored.label) == 0:
        return math.nan
    errors = []
    for score in scored.scores:
        means, shares, counts = reliability(scored.label, score)
        errors.append(float(np.average(np.abs(means - shares), weights=counts)))
    return float(np.mean(errors))


def reliability(label: FloatArray, probability: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mean probability, share of malignant lesions and number of lesions of each bin of equal counts.

    Parameters
    ----------
    label, probability
        (lesions,), at least one.

    Returns
    -------
    tuple
        Three arrays (bins,); there are `BINS` bins, or fewer where lesions or distinct probabilities are fewer.
    """
    bins = _bins(probability)
    means = np.array([probability[part].mean() for part in bins])
    shares = np.array([label[part].mean() for part in bins])
    return means, shares, np.array([len(part) for part in bins], dtype=np.float64)


def reliability_table(
    candidates: Sequence[Candidate], lesions: pd.DataFrame, rule: PatientBootstrap, note: str
) -> pd.DataFrame:
    """Return one row for each model and bin of its probabilities: their mean, and the share of malignant lesions.

    Bins have equal counts of predictions; the predictions of all seeds are together. The share has Wilson's interval
    with the effective number of lesions over patients. The parameters are those of `calibration_table`.
    """
    rows = []
    for candidate, lesion_ids in with_probabilities(candidates, lesions):
        scored = candidate.on(lesions, lesion_ids)
        seeds = len(scored.scores)
        label = np.tile(scored.label, seeds)
        patients, place = (np.tile(values, seeds) for values in (scored.patients, np.arange(len(lesion_ids))))
        probability = np.concatenate(scored.scores)
        said = seen_columns(candidate.seen, lesions.loc[lesion_ids, "patient_id"], note, *candidate.marking_notes)
        for number, part in enumerate(_bins(probability) if len(probability) else []):
            distinct = np.unique(place[part])
            of_bin, _ = patient_codes(patients[part])
            share = proportion([label[part]], [np.ones(len(part))], of_bin)
            rows.append(
                {
                    "model": candidate.model,
                    "family": candidate.family,
                    "bin": number + 1,
                    "n": len(distinct),
                    "n_malignant": int(scored.label[distinct].sum()),
                    "patients": share.patients,
                    "lowest": float(probability[part].min()),
                    "highest": float(probability[part].max()),
                    "mean_probability": float(probability[part].mean()),
                    **proportion_estimate(share, rule).columns("malignant_share"),
                    **said,
                }
            )
    return pd.DataFrame(rows, columns=_BIN_COLUMNS)


def mean_temperatures(training: Mapping[str, Any]) -> dict[str, float]:
    """Return the temperature that divides the logits of each classifier, as the mean over its seeds and folds.

    Parameters
    ----------
    training
        Training records by classifier; those of later folds have `, fold K` behind the name.
    """
    found: dict[str, list[float]] = {}
    for name, record in training.items():
        seeds = record.get("seeds", {})
        values = [float(one["temperature"]) for one in seeds.values() if one.get("temperature") is not None]
        found.setdefault(name.partition(", fold ")[0], []).extend(values)
    return {name: float(np.mean(values)) for name, values in found.items() if values}


def _bins(probability: FloatArray) -> list[IntArray]:
    """Return the rows of each bin, from small to large probabilities.

    Counts are equal where that is possible: each border moves to the nearest one between two different probabilities,
    so that the order of the rows does not matter.
    """
    order = np.argsort(probability, kind="stable")
    borders = np.cumsum([len(part) for part in np.array_split(order, min(BINS, len(order)))])[:-1]
    steps = np.flatnonzero(np.diff(probability[order]) > 0) + 1
    if len(steps) == 0:
        return [order]
    nearest = steps[np.abs(steps[:, None] - borders).argmin(axis=0)]
    return np.split(order, np.unique(nearest))


def _brier(scored: Scored, rule: PatientBootstrap) -> tuple[Estimate, Estimate]:
    label = scored.label
    squared = np.mean([(score - label) ** 2 for score in scored.scores], axis=0)
    sums = rule.sums(np.column_stack([squared, label, np.ones(len(label))]), scored.patients)
    total, malignant, n = sums.T
    share = ratio(malignant, n)
    scaled = 1 - ratio(ratio(total, n), share * (1 - share))
    return rule.estimate(ratio(total, n), scored.patients), rule.estimate(scaled, scored.patients)


def _wald(value: float, influence: FloatArray, patients: IntArray, rule: PatientBootstrap, enough: bool) -> Estimate:
    """Return a value with the interval from what each lesion adds to its deviation, (lesions,)."""
    number = len(np.unique(patients))
    if not math.isfinite(value) or not enough or number < 2:
        return Estimate(value, math.nan, math.nan)
    by_patient = np.bincount(patients, weights=influence)
    error = math.sqrt(number / (number - 1) * float((by_patient**2).sum()))
    reach = float(stdtrit(number - 1, (1 + rule.confidence) / 2)) * error
    return Estimate(value, value - reach, value + reach)


def _slope(label: FloatArray, logits: FloatArray) -> tuple[float, FloatArray]:
    """Return the slope, and what each lesion adds to its deviation."""
    malignant, benign = logits[label == 1], logits[label == 0]
    overlap = min(len(malignant), len(benign)) and benign.max() > malignant.min() and malignant.max() > benign.min()
    if not overlap or np.ptp(logits) < 1e-9:  # without an overlap the likelihood grows with the slope for ever
        return math.nan, np.zeros(len(label))
    spread = float(logits.std())
    scaled = (logits - logits.mean()) / spread
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    model.fit(scaled[:, None], label)
    design = np.column_stack([np.ones(len(label)), scaled])
    probability = expit(design @ np.array([model.intercept_[0], model.coef_[0, 0]]))
    information = design.T @ (design * (probability * (1 - probability))[:, None])
    influence = (design @ np.linalg.pinv(information)[1]) * (label - probability)
    return float(model.coef_[0, 0]) / spread, influence / spread


def _intercept(label: FloatArray, logits: FloatArray) -> tuple[float, FloatArray]:
    """Return the intercept with the slope held at 1, and what each lesion adds to its deviation."""
    if len(np.unique(label)) < 2:
        return math.nan, np.zeros(len(label))
    value = float(brentq(lambda shift: float(expit(logits + shift).mean() - label.mean()), -60, 60))
    probability = expit(logits + value)
    return value, (label - probability) / float((probability * (1 - probability)).sum())
