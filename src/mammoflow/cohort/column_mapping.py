"""How a table's own columns become the ones that mammoflow looks for: by name, by pattern, or as a constant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_args

import pandas as pd

from mammoflow.cohort.plain_text import plain_text
from mammoflow.cohort.readers._table_options import TableColumn
from mammoflow.cohort.table_files import ORIGIN, PROBLEM, column_hint, columns_of, records
from mammoflow.errors import ConfigError

PLACE = re.compile(r"\{([^{}]+)\}")
NEEDED: tuple[TableColumn, ...] = ("image", "patient", "label")
BOX: tuple[TableColumn, ...] = ("box_y0", "box_x0", "box_y1", "box_x1")


def map_columns(
    table: pd.DataFrame, table_name: str, columns: Mapping[TableColumn, str], label_from_birads: bool
) -> pd.DataFrame:
    """Return a table with every column of `TableColumn`, "" where the study has none.

    Parameters
    ----------
    table
        The study's table as text.
    table_name
        The table's name, for messages.
    columns
        Where each column comes from: the name of a column, or `ORIGIN`, which is different in each row; a pattern with
        columns in braces, such as ``{label}/{image}.png``; or a constant behind an equals sign. What it does not name
        is taken from the column of the same name.
    label_from_birads
        Whether lesions without a label get one from their BI-RADS assessment.

    Raises
    ------
    ConfigError
        If the settings name a column that the table lacks, or a needed column comes from nowhere; the label may come
        from BI-RADS, if the settings say so.
    """
    names: tuple[TableColumn, ...] = get_args(TableColumn)
    available = columns_of(table)
    sources = {name: columns.get(name) or (name if name in available else None) for name in names}
    missing = [name for name in NEEDED if sources[name] is None]
    if label_from_birads and sources["birads"] is not None and "label" in missing:
        missing.remove("label")
    if sources["mask"] is None and any(sources[name] is None for name in BOX):
        missing.append("mask")
    if missing:
        raise ConfigError(
            f"table {table_name} gives no {', '.join(missing)}: set cohort.dataset.options.columns.{missing[0]} to the "
            f"column that holds it ('mask' may be given by the four box columns instead). Columns found: "
            f"{', '.join(available)}{column_hint(missing, available)}"
        )
    mapped = pd.DataFrame({str(name): _values(table, available, name, sources[name]) for name in names}, dtype="str")
    return mapped.assign(**{ORIGIN: table[ORIGIN], PROBLEM: table[PROBLEM]})


def columns_used(columns: Mapping[TableColumn, str]) -> set[str]:
    """Return the names of the table's columns that may be read: those that the settings name, and the usual ones."""
    named = {place for source in columns.values() for place in [source, *PLACE.findall(source)]}
    return named | {name for name in get_args(TableColumn) if name not in columns}


def _values(table: pd.DataFrame, available: list[str], name: str, source: str | None) -> list[str]:
    if source is None:
        return [""] * len(table)
    if source.startswith("="):
        return [source[1:]] * len(table)
    source = source if source in available else plain_text(source)
    if source in (*available, ORIGIN):
        return [str(value) for value in table[source]]
    used = PLACE.findall(source)
    unknown = [place for place in used if place not in available] if used else [source]
    if unknown:
        raise ConfigError(
            f"cohort.dataset.options.columns.{name} is {source!r}, but the table has no column {', '.join(unknown)}; "
            f"columns found: {', '.join(available)}{column_hint(unknown, available)}"
        )
    return [_fill(source, row) for row in records(table[used])]


def _fill(pattern: str, row: dict[str, str]) -> str:
    """Put a row's values into the pattern; a row that lacks one of them has no value."""
    places = set(PLACE.findall(pattern))
    return "" if any(not row[place] for place in places) else PLACE.sub(lambda place: row[place.group(1)], pattern)
