"""Decision curves: whether calls from a model's probabilities do more good than harm.

The net benefit at a threshold probability t is the share of lesions that are rightly called malignant, less that of
those wrongly called so times the odds of t (Vickers and Elkin, Medical Decision Making 26, 2006). The threshold says
how many benign biopsies one found cancer is worth: nine at 10 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.calibration import with_probabilities
from mammoflow.evaluation.candidates import READER, Candidate
from mammoflow.evaluation.estimates import Scored
from mammoflow.evaluation.metrics import FloatArray, IntArray, ratio
from mammoflow.evaluation.seen_patients import seen_columns

THRESHOLDS = (*(percent / 100 for percent in range(1, 31)), *(percent / 100 for percent in range(35, 100, 5)))
"""Threshold probabilities: fixed beforehand, finer where biopsies are decided."""

POLICY = "policy"
BIOPSY_ALL, BIOPSY_NONE = "biopsy all", "biopsy none"

_COLUMNS = [
    "model", "family", "threshold", "n", "n_malignant", "patients", "prevalence", "prevalence_of", "net_benefit",
    "net_benefit_low", "net_benefit_high", "biopsy_all", "n_paired", "birads_difference", "birads_difference_low",
    "birads_difference_high", "seen_test_patients", "note",
]  # fmt: skip


def decision_curve_table(
    candidates: Sequence[Candidate], lesions: pd.DataFrame, settings: ComparisonSettings, note: str
) -> pd.DataFrame:
    """Return one row for each policy or model and threshold probability.

    The policies are to biopsy all lesions, to biopsy none, and those that BI-RADS calls malignant. A model with
    probabilities calls a lesion malignant from the threshold on; the reader's probability is the share of malignant
    training lesions of the assessment.

    Parameters
    ----------
    candidates
        What the comparison compares; the first one is BI-RADS.
    lesions
        Labelled test lesions, indexed by lesion.
    settings
        Bootstrap, coverage, fewest patients; with `prevalence`, sensitivity and specificity are weighted by it in place
        of the share of malignant test lesions.
    note
        What is true of the whole study and is in every row.
    """
    birads = candidates[0]
    parts = [_policy(name, float(name == BIOPSY_ALL), birads, lesions, settings, note)
             for name in (BIOPSY_ALL, BIOPSY_NONE)]  # fmt: skip
    parts.append(_rows(birads, birads.scored(lesions), birads, lesions, settings, note))
    parts += [
        _rows(candidate, scored, birads, lesions, settings, note)
        for candidate, scored in with_probabilities(candidates, lesions)
    ]
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True)[_COLUMNS] if filled else pd.DataFrame(columns=_COLUMNS)


@dataclass(frozen=True)
class Calls:
    """What some lesions are called at each threshold.

    Attributes
    ----------
    calls
        (lesions, thresholds): share of seeds that call the lesion malignant; for the difference of two models, that of
        one less that of the other.
    counted
        (lesions,): 1 for the lesions that count, else 0.
    """

    calls: FloatArray
    counted: FloatArray


def net_benefits(
    parts: Sequence[Calls],
    label: FloatArray,
    patients: IntArray,
    thresholds: FloatArray,
    rule: PatientBootstrap,
    prevalence: float | None,
) -> list[FloatArray]:
    """Return the net benefit of some calls of the same lesions, on the rows as they are and on each resample.

    Parameters
    ----------
    parts
        The calls.
    label
        (lesions,): 1 malignant, 0 benign.
    patients
        (lesions,): number of the patient.
    thresholds
        (thresholds,): threshold probabilities.
    rule
        The bootstrap.
    prevalence
        Share of malignant lesions that the rates are weighted by; None takes that of each resample.

    Returns
    -------
    list of ndarray
        (1 + resamples, thresholds) for each of the calls.
    """
    odds, columns = thresholds / (1 - thresholds), []
    for part in parts:
        malignant, benign = ((values * part.counted)[:, None] for values in (label, 1 - label))
        if prevalence is None:
            columns += [malignant * part.calls - benign * part.calls * odds, part.counted[:, None]]
        else:
            columns += [malignant * part.calls, benign * part.calls, malignant, benign]
    sums = rule.sums(np.hstack(columns), patients, single=True)
    summed = iter(np.split(sums, np.cumsum([column.shape[1] for column in columns])[:-1], axis=1))
    if prevalence is None:
        return [ratio(gained, number) for gained, number in zip(summed, summed, strict=True)]
    return [
        prevalence * ratio(hits, malignant) - (1 - prevalence) * ratio(alarms, benign) * odds
        for hits, alarms, malignant, benign in zip(summed, summed, summed, summed, strict=True)
    ]


def _policy(
    name: str, call: float, birads: Candidate, lesions: pd.DataFrame, settings: ComparisonSettings, note: str
) -> pd.DataFrame:
    """Return the rows of one and the same call for every lesion."""
    table = pd.DataFrame({"score": call, "predicted": call}, index=lesions.index)
    policy = Candidate(name, POLICY, {0: table}, threshold=0.5)
    return _rows(policy, lesions.index, birads, lesions, settings, note)


def _rows(
    candidate: Candidate,
    lesion_ids: pd.Index,
    birads: Candidate,
    lesions: pd.DataFrame,
    settings: ComparisonSettings,
    note: str,
) -> pd.DataFrame:
    """Return the rows of one candidate, one for each threshold; none without a lesion."""
    if len(lesion_ids) == 0:
        return pd.DataFrame()
    rule, thresholds = PatientBootstrap.of(settings), np.array(THRESHOLDS)
    scored = candidate.on(lesions, lesion_ids)
    enough = scored.has_both(rule.fewest_patients)
    calls = _calls(candidate, scored, thresholds)
    prevalence = settings.prevalence
    parts = [Calls(calls, np.ones(len(calls)))]
    read = birads.scores(lesion_ids)
    if candidate is not birads and read.any():
        of_reader = np.zeros(len(calls))
        of_reader[read] = birads.on(lesions, lesion_ids[read]).calls[0]
        parts.append(Calls(calls - of_reader[:, None], read.astype(np.float64)))
    values, *pair = net_benefits(parts, scored.label, scored.patients, thresholds, rule, prevalence)
    share = float(scored.label.mean()) if prevalence is None else prevalence
    nothing = np.full(len(thresholds), np.nan)
    low, high = rule.bounds(values) if enough else (nothing, nothing)
    table = pd.DataFrame(
        {
            "model": candidate.model,
            "family": candidate.family,
            "threshold": thresholds,
            "n": len(lesion_ids),
            "n_malignant": int(scored.label.sum()),
            "patients": len(np.unique(scored.patients)),
            "prevalence": share,
            "prevalence_of": "test lesions" if prevalence is None else "comparison.prevalence",
            "net_benefit": values[0],
            "net_benefit_low": low,
            "net_benefit_high": high,
            "biopsy_all": share - (1 - share) * thresholds / (1 - thresholds),
            "n_paired": 0,
            **dict.fromkeys(("birads_difference", "birads_difference_low", "birads_difference_high"), nothing),
            **seen_columns(candidate.seen, lesions.loc[lesion_ids, "patient_id"], note, *candidate.marking_notes),
        }
    )
    if not pair:
        return table
    both = scored.part(read).has_both(rule.fewest_patients)
    low, high = rule.bounds(pair[0]) if both else (nothing, nothing)
    return table.assign(
        n_paired=int(read.sum()), birads_difference=pair[0][0], birads_difference_low=low, birads_difference_high=high
    )


def _calls(candidate: Candidate, scored: Scored, thresholds: FloatArray) -> FloatArray:
    """Return the share of seeds that call each lesion malignant at each threshold, (lesions, thresholds)."""
    if candidate.family in (READER, POLICY):
        return np.repeat(scored.calls[0][:, None], len(thresholds), axis=1)
    found: FloatArray = np.mean([score[:, None] >= thresholds for score in scored.scores], axis=0)
    return found
