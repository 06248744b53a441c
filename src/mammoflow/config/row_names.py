"""Names of the rows that a comparison has without being asked, and the check that each row has a name of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

BIRADS_ROW = "BI-RADS > 3"
"""The row of the radiologist's assessment in every table."""

WORDS_ROW = "Reader's words"
"""The model on what the reader says of a lesion."""

MAJORITY_ROW = "majority class"
ASSESSMENT_ROW = "assessment alone"
SHAPE_ROW = "shape alone"
MARGINS_ROW = "margins alone"
SIZE_ROW = "size alone"
IDENTITY_ROW = "patient identity alone"
CEILING_ROW = "ceiling: hidden suspicion"

ALL_FEATURES_ROW = "All features"
"""The regression on the features of all families together (early fusion)."""

BOOSTED = ", boosted"
"""End of the name of the boosted trees on the features of a family."""

VIEWS_JOINED = "(views joined)"
"""End of the name of a row in which each lesion has the mean over the views of its finding."""

WITH_BIRADS = " + BI-RADS"
WITH_WORDS = " + reader's words"
"""Ends of the names of the rows in which a model is joined with the reader."""

_BUILT_IN = (
    *(BIRADS_ROW, WORDS_ROW, MAJORITY_ROW, ASSESSMENT_ROW, SHAPE_ROW, MARGINS_ROW, SIZE_ROW, IDENTITY_ROW),
    *(CEILING_ROW, ALL_FEATURES_ROW),
)


def joined_row(model: str) -> str:
    """Return the name of the row in which the views of each finding are joined."""
    return f"{model} {VIEWS_JOINED}"


def mean_row(model: str, seeds: int) -> str:
    """Return the name of the row in which the seeds of a classifier are joined."""
    return f"{model} (mean of {seeds} seeds)"


def fused_rows(models: Sequence[str]) -> list[str]:
    """Return the names of the rows in which each model is joined with the assessment and with the reader's words."""
    return [f"{model}{ending}" for model in models for ending in (WITH_BIRADS, WITH_WORDS)]


def feature_model_name(family: str) -> str:
    """Return what tables and figures call the model on the features of a family, such as `Gabor features`."""
    words = family.replace("_", " ")
    return f"{words[:1].upper()}{words[1:]} features"


def built_in_rows(families: Sequence[str]) -> list[str]:
    """Return the names of the rows that a comparison with these feature families may have without being asked."""
    of_families = [feature_model_name(family) for family in families]
    return [*_BUILT_IN, *of_families, *(f"{name}{BOOSTED}" for name in of_families)]


def check_own_names(given: Mapping[str, str], taken: Sequence[str]) -> None:
    """Check that each row that the settings name has a name of its own.

    Parameters
    ----------
    given
        Key of the settings to the name of its row.
    taken
        Names of the other rows.

    Raises
    ------
    ValueError
        If a name is taken or given twice; the message begins with the key.
    """
    rows = list(taken)
    for key, name in given.items():
        if name in rows:
            raise ValueError(f"{key} is {name!r}, the name of another row; expected a name of its own")
        rows.append(name)
