"""Columns of a table that names no image: what the reader `table` needs when nothing but its rows is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mammoflow.cohort.column_mapping import BOX
from mammoflow.cohort.table_files import ORIGIN, PROBLEM, read_text_table

NO_FILE = "=none"
"""A constant in the place of the file of a mask."""


def columns_without_images(path: Path, columns: Mapping[str, str]) -> dict[str, str]:
    """Add stand-ins for images, masks and lesions to a mapping of columns, if the table names none.

    An image is named by patient, side and view, so rows of one view share it. Without a lesion, a mask and a box, the
    finding tells the rows of a view apart. Each row is a lesion of its own if the finding is missing or has blanks.

    Parameters
    ----------
    path
        The table.
    columns
        What mammoflow looks for -> the column of the table, as in `cohort.dataset.options.columns`.

    Raises
    ------
    StudyError
        If the table cannot be read.
    """
    table = read_text_table(path)
    available = set(table.columns)
    filled = dict(columns)
    if not {"lesion", "mask", *BOX} & (available | {*columns}):
        finding = columns.get("finding", "finding" if "finding" in available else ORIGIN)
        blank = finding in available and bool((table[finding] == "").any())
        filled["lesion"] = ORIGIN if blank else finding
    if "image" not in available:
        parts = [columns.get(key, key) for key in ("patient", "side", "view")]
        filled.setdefault("image", "/".join(f"{{{part}}}" for part in parts if part in available))
    if "mask" not in available:
        filled.setdefault("mask", NO_FILE)
    return {key: source for key, source in filled.items() if source}


def repeated_rows(path: Path) -> int:
    """Count the rows of a table that are equal to an earlier one in every column.

    Raises
    ------
    StudyError
        If the table cannot be read.
    """
    return int(read_text_table(path).drop(columns=[ORIGIN, PROBLEM]).duplicated().sum())
