"""Operating points: what a model does where it is as sensitive, or as specific, as stated or as the radiologist.

Every threshold is chosen on validation, and the test lesions say what it then gives. So the sensitivity on test is near
the stated one and not equal to it; a threshold that meets it on test would have been chosen on test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from mammoflow.classification.threshold import choose_threshold
from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.config.operating_point import ThresholdSettings
from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.calibration import WITH_PROBABILITIES
from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.estimates import Scored, metric_estimates, seed_spread
from mammoflow.evaluation.metrics import FloatArray
from mammoflow.evaluation.seen_patients import seen_columns

STATED = (0.95, 0.9)
"""Sensitivities and specificities at which every model is reported."""

PROBABILITIES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Thresholds of the threshold table: fixed beforehand, so nothing is chosen. 0.02 is the upper end of BI-RADS 3."""

Held = Literal["sensitivity", "specificity"]

_RATES = {"sensitivity": "recall", "specificity": "specificity", "ppv": "precision", "npv": "npv"}
_COUNTS = ["n", "n_malignant", "patients"]
_RATE_COLUMNS = [f"{name}{end}" for name in _RATES for end in ("", "_low", "_high")]
_AT_PREVALENCE = ["prevalence", "ppv_at_prevalence", "npv_at_prevalence"]
_AGAINST_READER = [
    "biopsies_avoided", "biopsies_avoided_low", "biopsies_avoided_high", "benign_biopsies_reader",
    "benign_biopsies_model", "cancers_missed_reader", "cancers_missed_model",
]  # fmt: skip
_POINT_COLUMNS = [
    "model", "family", "seeds", "point", "target", "n_validation", "threshold", *_COUNTS, *_RATE_COLUMNS,
    "sensitivity_seed_std", "specificity_seed_std", "auc_seed_std", *_AT_PREVALENCE, *_AGAINST_READER,
    "seen_test_patients", "note",
]  # fmt: skip
_THRESHOLD_COLUMNS = [
    "model", "family", "seeds", "threshold", *_COUNTS, "called_malignant", *_RATE_COLUMNS, *_AT_PREVALENCE,
    "seen_test_patients", "note",
]  # fmt: skip


@dataclass(frozen=True)
class Point:
    """An operating point: what is held on validation, and at which value."""

    name: str
    held: Held
    target: float


def points(reader: Scored) -> list[Point]:
    """Return the operating points; those of the reader are at its own rates on the validation lesions.

    Parameters
    ----------
    reader
        The radiologist on the validation lesions; without malignant or benign ones it has no point.
    """
    rates: tuple[tuple[Held, int], ...] = (("sensitivity", 1), ("specificity", 0))
    found = [Point(f"{held} {value:.0%}", held, value) for held, _ in rates for value in STATED]
    for held, value in rates:
        counted = reader.label == value
        if counted.any():
            rate = float((reader.calls[0][counted] == value).mean())
            found.append(Point(f"{held} of BI-RADS", held, rate))
    return found


def operating_points(
    candidates: Sequence[Candidate],
    groups: Sequence[tuple[Sequence[Candidate], pd.DataFrame]],
    lesions: pd.DataFrame,
    settings: ComparisonSettings,
    note: str,
) -> pd.DataFrame:
    """Return one row for each model and operating point.

    Parameters
    ----------
    candidates
        What the comparison compares; the first one is BI-RADS.
    groups
        Candidates and labelled lesions of the run, or of each fold, whose validation lesions the thresholds of its own
        test lesions are chosen on.
    lesions
        Labelled test lesions, indexed by lesion.
    settings
        Coverage, fewest patients, prevalence.
    note
        What is true of the whole study and is in every row.
    """
    rule, rows = PatientBootstrap.of(settings), []
    for candidate in (one for one in candidates if one.family in WITH_PROBABILITIES):
        test = lesions.loc[candidate.scored(lesions)]
        of_groups = [_called(_named(candidate.model, of_fold), of_fold[0], part) for of_fold, part in groups]
        of_test = candidate.on(test, test.index)
        for name in _point_names():
            chosen = [called[name] for called in of_groups if name in called]
            if len(chosen) < len(groups) or test.empty:
                continue
            calls = {
                seed: pd.concat([each.calls[seed] for each in chosen]).reindex(test.index) for seed in candidate.runs
            }
            if any(call.isna().any() for call in calls.values()):
                continue
            scored = _with_calls(of_test, [call.to_numpy(dtype=np.float64) for call in calls.values()])
            thresholds = {threshold for each in chosen for threshold in each.thresholds}
            row: dict[str, object] = {
                "model": candidate.model,
                "family": candidate.family,
                "seeds": len(candidate.runs),
                "point": name,
                "target": float(np.mean([each.target for each in chosen])),
                "n_validation": sum(each.n for each in chosen),
                "threshold": thresholds.pop() if len(thresholds) == 1 else math.nan,
                **_counts(scored),
                **_rates(scored, rule),
                **_seed_spread(scored),
            }
            row |= at_prevalence(row, settings.prevalence)
            row |= _against_reader(candidates[0], test, scored, rule)
            rows.append(row | seen_columns(candidate.seen, test["patient_id"], note, *candidate.marking_notes))
    return pd.DataFrame(rows, columns=_POINT_COLUMNS)


def threshold_table(
    candidates: Sequence[Candidate], lesions: pd.DataFrame, settings: ComparisonSettings, note: str
) -> pd.DataFrame:
    """Return one row for each model and probability of `PROBABILITIES` from which on a lesion is called malignant.

    The parameters are those of `operating_points`.
    """
    rule, rows = PatientBootstrap.of(settings), []
    for candidate in (one for one in candidates if one.family in WITH_PROBABILITIES):
        test = lesions.loc[candidate.scored(lesions)]
        of_test = candidate.on(test, test.index)
        for threshold in PROBABILITIES if len(test) else ():
            scored = _with_calls(of_test, [(score >= threshold).astype(np.float64) for score in of_test.scores])
            row: dict[str, object] = {
                "model": candidate.model,
                "family": candidate.family,
                "seeds": len(candidate.runs),
                "threshold": threshold,
                **_counts(scored),
                "called_malignant": float(np.mean([call.mean() for call in scored.calls])),
                **_rates(scored, rule),
            }
            row |= at_prevalence(row, settings.prevalence)
            rows.append(row | seen_columns(candidate.seen, test["patient_id"], note, *candidate.marking_notes))
    return pd.DataFrame(rows, columns=_THRESHOLD_COLUMNS)


def at_prevalence(row: dict[str, object], prevalence: float | None) -> dict[str, float]:
    """Return the predictive values at a prevalence, by Bayes' theorem from sensitivity and specificity.

    Parameters
    ----------
    row
        With `sensitivity` and `specificity`.
    prevalence
        Share of malignant lesions; None gives no value.
    """
    if prevalence is None:
        return dict.fromkeys(_AT_PREVALENCE, math.nan)
    sensitivity, specificity = float(str(row["sensitivity"])), float(str(row["specificity"]))
    hits, misses = sensitivity * prevalence, (1 - sensitivity) * prevalence
    alarms, rejections = (1 - specificity) * (1 - prevalence), specificity * (1 - prevalence)
    return {
        "prevalence": prevalence,
        "ppv_at_prevalence": hits / (hits + alarms) if hits + alarms > 0 else math.nan,
        "npv_at_prevalence": rejections / (rejections + misses) if rejections + misses > 0 else math.nan,
    }


@dataclass(frozen=True)
class _Called:
    """Calls of the test lesions of one run or fold, by seed, with the thresholds that gave them."""

    calls: dict[int, pd.Series]
    thresholds: list[float]
    target: float
    n: int


def _named(model: str, candidates: Sequence[Candidate]) -> Candidate:
    return next(one for one in candidates if one.model == model)


def _point_names() -> list[str]:
    both = Scored(np.array([0.0, 1.0]), [np.zeros(2)], [np.zeros(2)], np.array([0, 1]))
    return [point.name for point in points(both)]


def _called(candidate: Candidate, reader: Candidate, lesions: pd.DataFrame) -> dict[str, _Called]:
    """Choose the threshold of each point and seed on validation and call the test lesions.

    A point whose threshold cannot be chosen is left out.
    """
    validation = lesions[lesions["split"] == "validation"]
    validation = validation.loc[candidate.scored(validation)]
    read = validation.loc[reader.scored(validation)]
    test = lesions[lesions["split"] == "test"]
    test_ids = candidate.scored(test)
    of_test, _ = candidate.values(test_ids)
    found = {}
    for point in points(reader.on(read, read.index)):
        asked = candidate.on(
            *((read, read.index) if point.name.endswith("BI-RADS") else (validation, validation.index))
        )
        if point.target <= 0 or len(np.unique(asked.label)) < 2:
            continue
        wanted = ThresholdSettings(method=point.held, value=point.target)
        thresholds = [choose_threshold(asked.label, score, wanted).value for score in asked.scores]
        calls = {
            seed: pd.Series((score >= threshold).astype(np.float64), test_ids)
            for seed, score, threshold in zip(candidate.runs, of_test, thresholds, strict=True)
        }
        found[point.name] = _Called(calls, thresholds, point.target, len(asked.label))
    return found


def _with_calls(scored: Scored, calls: list[FloatArray]) -> Scored:
    return Scored(scored.label, scored.scores, calls, scored.patients)


def _counts(scored: Scored) -> dict[str, int]:
    return {
        "n": len(scored.label),
        "n_malignant": int(scored.label.sum()),
        "patients": len(np.unique(scored.patients)),
    }


def _rates(scored: Scored, rule: PatientBootstrap) -> dict[str, float]:
    estimates = metric_estimates(scored, rule, tuple(_RATES.values()))
    columns: dict[str, float] = {}
    for name, metric in _RATES.items():
        columns |= estimates[metric].columns(name)
    return columns


def _seed_spread(scored: Scored) -> dict[str, float]:
    spread = seed_spread(scored)
    return {
        "sensitivity_seed_std": spread["recall"],
        "specificity_seed_std": spread["specificity"],
        "auc_seed_std": spread["auc"],
    }


def _against_reader(
    reader: Candidate, lesions: pd.DataFrame, scored: Scored, rule: PatientBootstrap
) -> dict[str, float]:
    """Return the share of the reader's benign biopsies that the model avoids, with its interval, and the counts.

    A biopsy is a lesion that is called malignant. Only lesions that the reader scores too are counted. The share is the
    reader's calls of benign lesions less the model's, over the reader's; below 0 the model asks for more.
    """
    read = reader.scores(lesions.index)
    if not read.any():
        return {}
    label, patients = scored.label[read], scored.patients[read]
    of_reader = next(iter(reader.runs.values())).loc[lesions.index[read], "predicted"].to_numpy(dtype=np.float64)
    of_model: FloatArray = np.mean([call[read] for call in scored.calls], axis=0)
    benign = 1 - label
    share = bootstrap_share(benign * (of_reader - of_model), benign * of_reader, patients, rule)
    if not scored.has_both(rule.fewest_patients):
        share = Estimate(share.value, math.nan, math.nan)
    return {
        **share.columns("biopsies_avoided"),
        "benign_biopsies_reader": float((benign * of_reader).sum()),
        "benign_biopsies_model": float((benign * of_model).sum()),
        "cancers_missed_reader": float((label * (1 - of_reader)).sum()),
        "cancers_missed_model": float((label * (1 - of_model)).sum()),
    }


def bootstrap_share(part: FloatArray, whole: FloatArray, patients: np.ndarray, rule: PatientBootstrap) -> Estimate:
    """Return the sum of one column over that of another, with the interval of the bootstrap over patients."""
    if not float(whole.sum()):
        return Estimate(math.nan, math.nan, math.nan)
    return rule.estimate(rule.ratios(part[:, None], whole[:, None], patients)[:, 0], patients)
