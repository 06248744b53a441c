"""Scores of one model under one degradation, with their difference to the undegraded images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.delong import area_difference, components
from mammoflow.evaluation.estimates import Scored, area_estimate
from mammoflow.evaluation.metrics import FloatArray, IntArray, patient_codes
from mammoflow.tables.robustness import SEGMENTATION

NO_ESTIMATE = Estimate(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Observed:
    """What a model gave for each lesion under one condition.

    Attributes
    ----------
    model, kind
        Its name, and whether it segments or classifies.
    note
        What a reader must know of it.
    values
        Indexed by lesion: the Dice of each lesion, or the probability of each seed in a column of its own.
    """

    model: str
    kind: str
    note: str
    values: pd.DataFrame


def robustness_row(
    condition: tuple[str, float], plain: Observed, seen: Observed, lesions: pd.DataFrame, rule: PatientBootstrap
) -> dict[str, object]:
    """Return the row of a model under a condition.

    The mean Dice and its difference have intervals of the bootstrap over patients, the AUC and its difference DeLong's
    over patients. Lesions without a score under either condition are left out, so both scores are of the same lesions.

    Parameters
    ----------
    condition
        Name and level of the degradation.
    plain, seen
        The model on the undegraded and on the degraded images.
    lesions
        Indexed by lesion: `patient_id`, `malignant`.
    rule
        Coverage, resamples, and the fewest patients.
    """
    both = [_complete(observed, lesions) for observed in (plain, seen)]
    kept = lesions.loc[both[0] & both[1]]
    if plain.kind != SEGMENTATION:
        kept = kept[kept["malignant"].notna()]
    patients, number = patient_codes(kept["patient_id"].tolist())
    values = [observed.values.loc[kept.index].to_numpy(dtype=np.float64) for observed in (plain, seen)]
    if plain.kind == SEGMENTATION:
        undegraded = float(values[0][:, 0].mean()) if number else math.nan
        value = rule.mean(values[1][:, 0], patients) if number else NO_ESTIMATE
        difference = rule.mean(values[1][:, 0] - values[0][:, 0], patients) if number else NO_ESTIMATE
    else:
        label = kept["malignant"].to_numpy(dtype=np.float64)
        undegraded, value, difference = _areas(label, values[0], values[1], patients, rule)
    return {
        "model": seen.model,
        "kind": seen.kind,
        "degradation": condition[0],
        "level": float(condition[1]),
        "n": len(kept),
        "patients": number,
        "score": "Dice" if seen.kind == SEGMENTATION else "AUC",
        "undegraded": undegraded,
        "value": value.value,
        "low": value.low,
        "high": value.high,
        "difference": difference.value,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "note": seen.note,
    }


def _complete(observed: Observed, lesions: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Tell which lesions have a score of every seed."""
    found = observed.values.reindex(lesions.index).notna().all(axis=1)
    return found.to_numpy(dtype=np.bool_)


def _areas(
    label: FloatArray, plain: FloatArray, seen: FloatArray, patients: IntArray, rule: PatientBootstrap
) -> tuple[float, Estimate, Estimate]:
    """Return the AUC on undegraded and on degraded images, and its difference, from probabilities (lesions, seeds)."""
    if len(np.unique(label)) < 2:
        return math.nan, NO_ESTIMATE, NO_ESTIMATE
    scored = Scored(label, list(seen.T), [], patients)
    first, second = components(label, scored.scores), components(label, list(plain.T))
    found = area_difference(label, first, second, patients)
    bounds = found.interval(rule.confidence) if scored.has_both(rule.fewest_patients) else (math.nan, math.nan)
    return found.second, area_estimate(scored, rule), Estimate(found.value, *bounds)
