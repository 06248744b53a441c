"""Whether classifiers can be trained on a divided cohort, said before any picture is read."""

from __future__ import annotations

import pandas as pd

from mammoflow.cohort.splits import WITHOUT_TRAINING

TRAINED_ON = ("train", "validation")


def why_untrainable(lesions: pd.DataFrame, validation_classes: int, folds: pd.DataFrame | None = None) -> str:
    """Say why no classifier can be trained, and what to write; "" where one can, or where none is wanted.

    Parameters
    ----------
    lesions
        Usable lesions: `patient_id`, `split`, `malignant` (1, 0, null for unknown).
    validation_classes
        How many classes the classifiers of the run need in validation: 0 where none is trained, 1 to choose a
        threshold on, 2 where the epoch is chosen by the AUC.
    folds
        Table FOLDS, the side of each patient in each fold, where one run makes every fold.
    """
    if not validation_classes:
        return ""
    labelled = lesions[lesions["malignant"].notna()]
    counts = _counts(labelled)
    if len(labelled) == 0:
        return (
            f"no lesion of {len(lesions)} has a known label; expected malignant and benign ones to train the "
            f"classifiers of classification.run. Set classification.run: [] for masks, features and a report without "
            "classifiers, or name the column and words of the label"
        )
    if labelled["malignant"].nunique() < 2:
        return (
            f"the study has {counts}; expected both classes to train the classifiers of classification.run. Set "
            "classification.run: [] for masks, features and a report without classifiers, or "
            f"{WITHOUT_TRAINING}; if the study has both classes, look at the words of the label column"
        )
    if folds is None:
        return _of_sides(labelled, validation_classes, "")
    for fold, sides in folds.groupby("fold"):
        split = labelled["patient_id"].map(sides.set_index("patient_id")["split"])
        problem = _of_sides(labelled.assign(split=split), validation_classes, f" of fold {fold}")
        if problem:
            return problem
    return ""


def _of_sides(labelled: pd.DataFrame, validation_classes: int, where: str) -> str:
    """Say which side lacks a class, for lesions with a label."""
    for side, needed in zip(TRAINED_ON, (2, validation_classes), strict=True):
        rows = labelled[labelled["split"] == side]
        if rows["malignant"].nunique() < needed:
            wanted = "both classes" if needed == 2 else "at least one labelled lesion"
            return (
                f"the side {side}{where} has {_counts(rows)}, of {_counts(labelled)} in the study; expected {wanted} "
                "to train the classifiers of classification.run. Add patients, change cohort.split (such as its seed "
                "or fractions), set classification.run: [] for a report without classifiers, or use "
                f"{WITHOUT_TRAINING}"
            )
    return ""


def _counts(lesions: pd.DataFrame) -> str:
    malignant, benign = (int((lesions["malignant"] == value).sum()) for value in (1, 0))
    return f"{malignant} malignant and {benign} benign lesions"
