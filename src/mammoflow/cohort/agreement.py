"""Rows that describe one thing agree about it: one image, one finding, one patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    things = [_comparable(thing) for thing in rows[key].tolist()] if len(rows) else []
    for column, called in columns.items():
        if column not in rows.columns:
            continue
        values = [_comparable(value) for value in rows[column].tolist()]
        for thing in _with_several(things, values):
            compared = pd.Series(values, rows.index, dtype=object)
            of_thing = rows.assign(compared=compared)[(rows[key] == thing) & compared.notna()]
            words = _differing(of_thing, (shown or {}).get(column, "compared"))
            detail = f"rows of {noun} {thing} differ in {called}: {words}"
            for place in rows.index[rows[key] == thing]:
                torn.setdefault(place, detail)
    if not torn:
        return rows, []
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


def _with_several(things: Sequence[str | None], values: Sequence[str | None]) -> list[str]:
    """Return the things, sorted, that have more than one value; on a small table pandas takes ten times as long."""
    first: dict[str, str] = {}
    several = set()
    for thing, value in zip(things, values, strict=True):
        if thing is not None and value is not None and first.setdefault(thing, value) != value:
            several.add(thing)
    return sorted(several)


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
