"""The study's flow diagram in numbers: how many images, lesions and patients are left after each step, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from mammoflow.cohort.reader import Exclusion


def names_lesion(rows: pd.DataFrame) -> pd.Series:
    """Tell which rows are of a lesion: not those of normal images, nor those of images of which nothing is known."""
    return (rows["label"] != "normal") & rows["lesion_id"].notna()


def flow_step(
    name: str,
    rows: pd.DataFrame,
    excluded: Sequence[Exclusion],
    unread: Sequence[Exclusion] = (),
    lesions: int | None = None,
) -> dict[str, Any]:
    """Describe one step.

    Parameters
    ----------
    name
        What the remaining rows are.
    rows
        The remaining rows; those of normal images and of images without a lesion id are no lesions.
    excluded
        What this step took away.
    unread
        Exclusions of what is not in `rows`, because it could not be read or is marked unusable. Those of rows and
        lesions count as lesions, those of whole images and volumes do not.
    lesions
        How many lesions remain, where images stay whose lesions do not; None counts those of the rows.

    Returns
    -------
    dict
        `step`, `images`, `lesions`, `patients`, and `excluded`: reason to number of rows or lesions.
    """
    reasons = Counter(str(exclusion.reason) for exclusion in _of_lesions(excluded))
    return {
        "step": name,
        "images": len({*rows["image_id"], *(row.image_id for row in unread)} - {""}),
        "lesions": (int(names_lesion(rows).sum()) if lesions is None else lesions) + len(_of_lesions(unread)),
        "patients": len({*rows["patient_id"], *(row.patient_id for row in unread)} - {""}),
        "excluded": dict(reasons.most_common()),
    }


def _of_lesions(excluded: Sequence[Exclusion]) -> list[Exclusion]:
    return [exclusion for exclusion in excluded if exclusion.level in ("row", "lesion")]


def describe(images: pd.DataFrame, lesions: pd.DataFrame) -> dict[str, int]:
    """Count patients, images, lesions, malignant and unlabelled ones of a cohort or of one side of its split."""
    return {
        "patients": int(images["patient_id"].nunique()),
        "images": len(images),
        "lesions": len(lesions),
        "malignant": int((lesions["malignant"] == 1).sum()),
        "unlabelled": int(lesions["malignant"].isna().sum()),
    }


def describe_parts(
    images: pd.DataFrame, lesions: pd.DataFrame, column: str, values: Sequence[str] | range
) -> dict[str, dict[str, int]]:
    """Describe the cohort by the values of a column of both tables."""
    return {
        str(value): describe(images[images[column] == value], lesions[lesions[column] == value]) for value in values
    }
