"""BI-RADS as a model: what the radiologist's assessment says about malignancy."""

from __future__ import annotations

from typing import Literal

import pandas as pd

BiradsZero = Literal["as_written", "positive", "left_out"]

THRESHOLD = 4.0
"""Assessments from this one on are called malignant."""

POSITIVE_ZERO = 3.5
"""Score of BI-RADS 0 where it counts as positive: above 3, below 4."""

ZERO_NOTES: dict[BiradsZero, str] = {
    "as_written": "BI-RADS 0 (incomplete) counted as written: not above 3, and lowest in the AUC",
    "positive": "BI-RADS 0 (incomplete) counted as positive, between 3 and 4 in the AUC",
    "left_out": "BI-RADS 0 (incomplete) left out",
}

PUBLISHED = {"accuracy": 0.51, "precision": 0.48, "recall": 0.69, "f1": 0.57}
"""What the published table that mammoflow set out to extend gives for BI-RADS on CBIS-DDSM."""

CASE_TABLES = (
    {"rows": "mass, all", "n": 1696, "accuracy": 0.739, "precision": 0.659, "recall": 0.904, "f1": 0.762, "auc": 0.840},
    {
        "rows": "mass, official test",
        "n": 378,
        "accuracy": 0.690,
        "precision": 0.561,
        "recall": 0.932,
        "f1": 0.701,
        "auc": 0.830,
    },
    {
        "rows": "all four tables",
        "n": 3568,
        "accuracy": 0.697,
        "precision": 0.585,
        "recall": 0.886,
        "f1": 0.705,
        "auc": 0.810,
    },
)
"""BI-RADS on CBIS-DDSM from its four official case tables, BI-RADS 0 as written, one row per lesion and view."""


def birads_threshold(zero: BiradsZero) -> float:
    """Return the score from which on a lesion is called malignant: 4, or that of BI-RADS 0 where it is positive."""
    return POSITIVE_ZERO if zero == "positive" else THRESHOLD


def assessment_words(lesion: pd.Series) -> str:
    """Return the assessment of a lesion in words, with its subcategory where the study gives one; "" without one."""
    if pd.isna(lesion["birads"]):
        return ""
    category = lesion.get("birads_category")
    return f"BI-RADS {int(lesion['birads'])}" if category is None or pd.isna(category) else f"BI-RADS {category}"


def birads_scores(assessment: pd.Series, zero: BiradsZero) -> pd.DataFrame:
    """Return score and call of each assessment.

    Parameters
    ----------
    assessment
        BI-RADS category 0 to 6; null where the study gives none.
    zero
        What category 0, which means incomplete and not "below 1", counts as.

    Returns
    -------
    DataFrame
        The index of `assessment`, columns `score` (float) and `predicted` (0 or 1); `nan` where the row does not count.
    """
    score = assessment.astype("Float64").astype("float64")
    if zero == "left_out":
        score = score.where(score != 0)
    elif zero == "positive":
        score = score.where(score != 0, POSITIVE_ZERO)
    predicted = (score >= birads_threshold(zero)).astype("float64").where(score.notna())
    return pd.DataFrame({"score": score, "predicted": predicted})
