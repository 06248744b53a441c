"""Rows that describe one thing agree about it: one image, one finding, one patient."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from mammoflow.cohort.numbers import quoted
from mammoflow.cohort.reader import Exclusion
from mammoflow.cohort.table_files import ORIGIN, records
from mammoflow.reasons.cohort import CohortReason

OF_IMAGE = {
    "laterality": "side",
    "view": "view",
    "density": "density",
    "spacing_mm": "spacing",
    "image_height": "height",
    "image_width": "width",
    "age": "age",
}
"""Columns in which the rows of one image agree, and what messages call them."""
SIGNIFICANT = ".4g"
"""Digits in which two numbers agree."""
SHOWN = 3


def refuse_contradictions(
    rows: pd.DataFrame, key: str, columns: Mapping[str, str], noun: str, shown: Mapping[str, str] | None = None
) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Leave out all rows of an image, finding or patient that contradict each other; a blank contradicts nothing.

    Parameters
    ----------
    rows
        With `patient_id`, `image_id` and the key; columns that the table lacks are passed over.
    key
        Column whose equal values are one thing; rows without a value are things of their own.
    columns
        Columns in which the rows of one thing agree, and what the detail calls them.
    noun
        What the key names, for the detail.
    shown
        For some columns: the one whose values the detail has instead.

    Returns
    -------
    tuple
        The rows that stay, and an exclusion of each other one; its detail has the values and their rows.
    """
    named = rows.loc[rows[key].notna() & (rows[key] != ""), key]
    if not named.duplicated().any():  # no two rows are of one thing
        return rows, []
    torn: dict[int, str] = {}
    for column, called in columns.items():
        if column not in rows.columns:
            continue
        values = rows[column].map(_comparable)
        known = rows[values.notna() & rows[key].notna() & (rows[key] != "")]
        several = values[known.index].groupby(known[key]).nunique()
        for thing in several.index[several > 1]:
            of_thing = known[known[key] == thing].assign(compared=values)
            words = _differing(of_thing, (shown or {}).get(column, "compared"))
            detail = f"rows of {noun} {thing} differ in {called}: {words}"
            for place in rows.index[rows[key] == thing]:
                torn.setdefault(place, detail)
    excluded = [
        Exclusion(
            "row",
            CohortReason.CONTRADICTION,
            f"{row[ORIGIN]}: {torn[place]}" if ORIGIN in row else torn[place],
            str(row["patient_id"]),
            str(row["image_id"]),
            str(row.get("lesion_id") or ""),
        )
        for place, row in zip(torn, records(rows.loc[list(torn)]), strict=True)
    ]
    return rows.drop(index=list(torn)), excluded


def _comparable(value: object) -> str | None:
    """Return a value as text that is equal for equal values; None for a blank."""
    if value is None or value is pd.NA or value == "" or value != value:  # NaN is unequal to itself
        return None
    return format(value, SIGNIFICANT) if isinstance(value, float) else str(value)


def _differing(rows: pd.DataFrame, shown: str) -> str:
    """Name each different value with the first row that has it."""
    first = rows.drop_duplicates("compared")
    origins = first[ORIGIN] if ORIGIN in first.columns else [""] * len(first)
    named = [
        quoted(str(value)) + (f" ({origin})" if origin else "")
        for value, origin in zip(first[shown], origins, strict=True)
    ]
    return ", ".join(named[:SHOWN]) + (f" and {len(named) - SHOWN} more" if len(named) > SHOWN else "")
