"""Masks and boxes that a case table gives to several images, and boxes that look like percent."""

from __future__ import annotations

import pandas as pd

from mammoflow.cohort.boxes import FEWEST_BOXES, described
from mammoflow.cohort.numbers import quoted
from mammoflow.cohort.table_files import ORIGIN

BOX = ["box_y0", "box_x0", "box_y1", "box_x1"]
PERCENT = 100
SHOWN = 3


def mark_notes(table: pd.DataFrame) -> list[str]:
    """Tell which marks of a case table are unlikely, although each of them may be right.

    Parameters
    ----------
    table
        With `image_id`, `mask_name`, the four box columns and the origin of each row.

    Returns
    -------
    list of str
        One sentence for each kind of doubt: one mask file for several images, one box on several images, boxes whose
        numbers are all between 0 and 100 and have fractions.
    """
    notes = []
    masked = table[table["mask_name"] != ""]
    shared = _on_several(masked, ["mask_name"], 2)
    if not shared.empty:
        names = ", ".join(map(quoted, shared["mask_name"].drop_duplicates().head(SHOWN)))
        notes.append(
            f"mask: {len(shared)} rows of different images name one mask file ({names}; {_rows(shared)}); a mask "
            "belongs to one film: correct the column, unless these are copies of one film"
        )
    boxed = table[table["mask_name"] == ""].dropna(subset=BOX)
    boxed = boxed.assign(**{name: boxed[name].astype(float) for name in BOX})
    equal = _on_several(boxed, BOX, FEWEST_BOXES)
    if not equal.empty:
        box = described(equal[BOX].iloc[0].tolist())
        notes.append(f"box: {len(equal)} rows of different images have equal boxes (such as {box}; {_rows(equal)})")
    numbers = boxed[BOX].to_numpy()
    if len(boxed) >= FEWEST_BOXES and numbers.min() >= 0 and numbers.max() <= PERCENT and (numbers % 1).any():
        notes.append(
            f"box: all {len(boxed)} boxes are between 0 and {PERCENT} and have fractions (such as "
            f"{described(numbers[0].tolist())}): they may be percent; expected pixels of the stored image"
        )
    return notes


def _on_several(rows: pd.DataFrame, columns: list[str], fewest: int) -> pd.DataFrame:
    """Return the rows whose values in the columns occur on at least so many images."""
    if rows.empty:
        return rows
    return rows[rows.groupby(columns)["image_id"].transform("nunique") >= fewest]


def _rows(rows: pd.DataFrame) -> str:
    return ", ".join(map(str, rows[ORIGIN].head(SHOWN))) + (" and others" if len(rows) > SHOWN else "")
