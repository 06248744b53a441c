"""Columns of a table that names no image: what the reader `table` needs when nothing but its rows is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mammoflow.cohort.table_files import read_text_table

NO_FILE = "=none"
"""A constant in the place of the file of a mask."""


def columns_without_images(path: Path, columns: Mapping[str, str]) -> dict[str, str]:
    """Add stand-ins for images and masks to a mapping of columns, if the table names none.

    An image is named by patient, side and view, so rows of one view share it.

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
    available = set(read_text_table(path).columns)
    filled = dict(columns)
    if "image" not in available:
        parts = [columns.get(key, key) for key in ("patient", "side", "view")]
        filled.setdefault("image", "/".join(f"{{{part}}}" for part in parts if part in available))
    if "mask" not in available:
        filled.setdefault("mask", NO_FILE)
    return {key: source for key, source in filled.items() if source}
