"""The study's flow diagram in numbers: how many images, lesions and patients are left after each step, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from mammoflow.cohort.reader import Exclusion


def flow_step(
    name: str, rows: pd.DataFrame, excluded: Sequence[Exclusion], unread: Sequence[Exclusion] = ()
) -> dict[str, Any]:
    """Describe one step.

    Parameters
    ----------
    name
        What the remaining rows are.
    rows
        The remaining rows; those of normal images are no lesions.
    excluded
        What this step took away.
    unread
        Rows to be counted that are not in `rows`, because they could not be read or are marked unusable.

    Returns
    -------
    dict
        `step`, `images`, `lesions`, `patients`, and `excluded`: reason to number of rows or lesions.
    """
    reasons = Counter(str(exclusion.reason) for exclusion in excluded if exclusion.level in ("row", "lesion"))
    return {
        "step": name,
        "images": len({*rows["image_id"], *(row.image_id for row in unread)} - {""}),
        "lesions": int((rows["label"] != "normal").sum()) + len(unread),
        "patients": len({*rows["patient_id"], *(row.patient_id for row in unread)} - {""}),
        "excluded": dict(reasons.most_common()),
    }


def describe(images: pd.DataFrame, lesions: pd.DataFrame) -> dict[str, int]:
    """Count patients, images, lesions and malignant lesions of a cohort or of one side of its split."""
    return {
        "patients": int(images["patient_id"].nunique()),
        "images": len(images),
        "lesions": len(lesions),
        "malignant": int((lesions["malignant"] == 1).sum()),
    }
