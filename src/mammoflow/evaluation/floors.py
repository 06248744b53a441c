"""Floors: what the training prevalence, a single column of the case table, or the lesion's size says alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mammoflow.classification.threshold import choose_threshold
from mammoflow.config.row_names import (
    ASSESSMENT_ROW,
    CEILING_ROW,
    IDENTITY_ROW,
    MAJORITY_ROW,
    MARGINS_ROW,
    SHAPE_ROW,
    SIZE_ROW,
)
from mammoflow.evaluation.candidates import CEILING, FLOOR, Candidate
from mammoflow.evaluation.seen_patients import SeenPatients

COLUMN_FLOORS = {"birads": ASSESSMENT_ROW, "shape": SHAPE_ROW, "margins": MARGINS_ROW}
NOT_STATED = "(not stated)"
NO_TRAINING = "no training lesion"


def floor_candidates(lesions: pd.DataFrame) -> list[Candidate]:
    """Return the floors of the comparison.

    Parameters
    ----------
    lesions
        Usable lesions with a label, indexed by lesion: `split`, `malignant` (0, 1), `birads`, `shape`, `margins`,
        `diameter_mm`, `mask_file`.
    """
    candidates = [majority_floor(lesions)]
    candidates += [category_floor(lesions, column, name) for column, name in COLUMN_FLOORS.items()]
    return [*candidates, size_floor(lesions)]


def majority_floor(lesions: pd.DataFrame) -> Candidate:
    """Call every lesion what most lesions of the training split are."""
    training = lesions.loc[lesions["split"] == "train", "malignant"].astype("float64")
    if training.empty:
        return undefined(MAJORITY_ROW, FLOOR, lesions, NO_TRAINING)
    prevalence = float(training.mean())
    called = float(prevalence >= 0.5)
    table = pd.DataFrame({"score": prevalence, "predicted": called}, index=lesions.index)
    note = f"always {'malignant' if called else 'benign'}: {prevalence:.0%} of the training lesions are malignant"
    return Candidate(MAJORITY_ROW, FLOOR, {0: table}, (note,), threshold=0.5)


def category_floor(lesions: pd.DataFrame, column: str, name: str) -> Candidate:
    """Score each value of a column by the share of malignant training lesions that carry it.

    The share is drawn towards the training prevalence by one pseudo-lesion, so a value that training never showed
    scores the prevalence. A blank counts as a value of its own.
    """
    values = lesions[column].astype("object").where(lesions[column].notna(), NOT_STATED).astype(str)
    training = lesions["split"] == "train"
    if (values == NOT_STATED).all():
        return undefined(
            name, FLOOR, lesions, f"the study gives no {'BI-RADS assessment' if column == 'birads' else column}"
        )
    if not training.any():
        return undefined(name, FLOOR, lesions, NO_TRAINING)
    label = lesions.loc[training, "malignant"].astype("float64")
    groups = label.groupby(values[training])
    rates = (groups.sum() + label.mean()) / (groups.count() + 1)
    return with_threshold(name, FLOOR, values.map(rates).fillna(label.mean()), lesions, ())


def size_floor(lesions: pd.DataFrame) -> Candidate:
    """Score a lesion by its longest diameter: larger is more suspicious."""
    from_box = bool(lesions["mask_file"].isna().all()) if len(lesions) else False
    note = f"longest diameter of the reference {'box' if from_box else 'mask'}, in mm"
    return with_threshold(SIZE_ROW, FLOOR, lesions["diameter_mm"].astype("float64"), lesions, (note,))


def identity_floor(lesions: pd.DataFrame) -> Candidate:
    """Score a lesion by the share of malignant ones among its patient's training lesions, without looking at an image.

    The share is drawn towards the training prevalence by one pseudo-lesion, and a training lesion does not count for
    itself. Where no patient is on two sides of the split, every lesion outside training scores the prevalence, and the
    AUC is 0.5; where the split leaks, this is what any model may reach by recognising the patient.

    Parameters
    ----------
    lesions
        Usable lesions with a label, indexed by lesion: `patient_id`, `split`, `malignant`.
    """
    training = lesions["split"] == "train"
    if not training.any():
        return undefined(IDENTITY_ROW, FLOOR, lesions, NO_TRAINING)
    label = lesions["malignant"].astype("float64").where(training)
    by_patient = label.groupby(lesions["patient_id"])
    malignant = by_patient.transform("sum") - label.fillna(0)
    others = by_patient.transform("count") - training.astype("float64")
    prevalence = float(label.mean())
    known = int((others[lesions["split"] == "test"] > 0).sum())
    notes = (
        "share of malignant lesions among the training lesions of the same patient, without any image",
        f"{known} test lesions are of patients with training lesions",
    )
    return with_threshold(IDENTITY_ROW, FLOOR, (malignant + prevalence) / (others + 1), lesions, notes)


def suspicion_ceiling(lesions: pd.DataFrame) -> Candidate:
    """Score a phantom lesion by the hidden suspicion that its appearance was drawn from.

    Appearance depends on malignancy through this number alone, so no image model can be better but by chance.

    Parameters
    ----------
    lesions
        Usable lesions with a label, indexed by lesion: `split`, `malignant`, `hidden_suspicion`.
    """
    score = lesions["hidden_suspicion"].astype("float64")
    note = "the number that a phantom lesion's appearance was drawn from, which is all that images show of malignancy"
    return with_threshold(CEILING_ROW, CEILING, score, lesions, (note,))


def with_threshold(
    name: str,
    family: str,
    score: pd.Series,
    lesions: pd.DataFrame,
    notes: tuple[str, ...],
    seen: SeenPatients | None = None,
) -> Candidate:
    """Choose the threshold of a score on the validation split and return the candidate."""
    validation = (lesions["split"] == "validation") & score.notna()
    label = lesions.loc[validation, "malignant"].astype("float64").to_numpy()
    threshold = choose_threshold(label, score[validation].to_numpy(dtype=np.float64)).value
    if len(np.unique(label)) < 2:
        # A probability has a natural middle; a size has only that of the training lesions, or else of all lesions.
        training = score[(lesions["split"] == "train") & score.notna()]
        known = score.dropna() if training.empty else training
        is_probability = score.dropna().between(0, 1).all()
        threshold = 0.5 if is_probability or known.empty else float(known.median())
        why = "validation does not hold both classes"
        if training.empty and not is_probability:
            why = "the median of all lesions, as there are no training and validation lesions"
        notes = (*notes, f"threshold {threshold:.3g}: {why}")
    predicted = (score >= threshold).astype("float64").where(score.notna())
    table = pd.DataFrame({"score": score, "predicted": predicted, "threshold": threshold}, index=lesions.index)
    return Candidate(name, family, {0: table}, notes, threshold=threshold, seen=seen)


def undefined(name: str, family: str, lesions: pd.DataFrame, why: str) -> Candidate:
    """Return a candidate without predictions, so that its row is in the table with n = 0 and the reason."""
    table = pd.DataFrame({"score": np.nan, "predicted": np.nan}, index=lesions.index, dtype="float64")
    return Candidate(name, family, {0: table}, (why,))
