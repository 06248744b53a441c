"""Masks of two promptable models on the same prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.evaluation.metrics import FloatArray
from mammoflow.evaluation.segmentation_tables import KEYS

EVERY_IMAGE = "every image"
"""What has no prompt: an automatic model is scored on every test image with a lesion."""


def under_same_conditions(rows: pd.DataFrame, named: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows that agree with some values; a value that is absent agrees with one that is absent.

    Parameters
    ----------
    rows
        Rows of `scored_rows`.
    named
        Values by column.
    """
    for key, value in named.items():
        rows = rows[rows[key].isna() if pd.isna(value) else rows[key] == value]
    return rows


def dice_difference(group: pd.DataFrame, others: pd.DataFrame) -> FloatArray:
    """Return how much larger the Dice of each mask is than that of another model with the same prompt.

    Parameters
    ----------
    group
        Masks of one model.
    others
        Masks of the other model.

    Returns
    -------
    ndarray
        (rows of group,); NaN where the other model has no mask for the prompt.
    """
    before = group["prompt_id"].map(others.drop_duplicates("prompt_id").set_index("prompt_id")["dice"])
    difference: FloatArray = group["dice"].to_numpy(dtype=np.float64) - before.to_numpy(dtype=np.float64)
    return difference


def by_conditions(
    rows: pd.DataFrame, model: str, other: str
) -> Iterator[tuple[dict[str, Any], pd.DataFrame, FloatArray]]:
    """Give the masks of a model for each field of view, kind of prompts, feedback and margin.

    Parameters
    ----------
    rows
        Rows of `scored_rows`, one mask for each prompt and model.
    model, other
        Names of the model and of the one that it is compared with.

    Yields
    ------
    named, group, difference
        The conditions, the rows of the model, and `dice_difference` to the other model.
    """
    conditions = [*KEYS[1:]]
    others = rows[rows["model"] == other]
    for values, group in rows[rows["model"] == model].groupby(conditions, sort=True, dropna=False):
        named = dict(zip(conditions, values, strict=True))
        yield named, group, dice_difference(group, under_same_conditions(others, named))
