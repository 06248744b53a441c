"""Reading a CSV or Parquet table as text, row by row, so that one bad row does not cost the table."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.errors import StudyError

ORIGIN = "row_origin"
PROBLEM = "row_problem"


def read_text_table(path: Path) -> pd.DataFrame:
    """Read a table with every value as stripped text, blanks as "".

    A CSV that is no UTF-8 is read as Windows-1252, as spreadsheets save it, so that names with umlauts stay apart.

    Two columns are added: `row_origin`, the file and the number of the row (1 is the first below the header), and
    `row_problem`, "" or what is wrong with the row's form.

    Raises
    ------
    StudyError
        If the file is missing, empty, or no table.
    """
    if not path.is_file():
        raise StudyError(f"case table {path} does not exist; check cohort.dataset.folder and cohort.dataset.tables")
    table = _read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _read_csv(path)
    table[ORIGIN] = [f"{path.name} row {number}" for number in range(1, len(table) + 1)]
    return table


def require_columns(table: pd.DataFrame, needed: list[str], origin: str) -> None:
    """Stop where a table lacks columns.

    Raises
    ------
    StudyError
        With the columns that are missing and those that were found.
    """
    missing = [name for name in needed if name not in table.columns]
    if missing:
        present = ", ".join(str(name) for name in table.columns if name not in (ORIGIN, PROBLEM))
        raise StudyError(f"{origin} lacks the columns {', '.join(missing)}; it has: {present}")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as dictionaries."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        file = io.StringIO(_decoded(path.read_bytes()), newline="")
        first = file.readline()
        file.seek(0)
        lines = [line for line in csv.reader(file, delimiter=_delimiter(path, first)) if any(line)]
    except (OSError, csv.Error) as error:
        raise StudyError(f"case table {path} cannot be read as CSV: {error}") from error
    if not lines:
        raise StudyError(f"case table {path} is empty; expected a header and one row a lesion")
    header = [name.strip().lstrip("\ufeff") for name in lines[0]]
    if len(set(header)) != len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise StudyError(
            f"case table {path} names the column {twice!r} twice; its header is {', '.join(header)}; expected a name "
            "of its own for each: rename or remove one"
        )
    rows = []
    for line in lines[1:]:
        wrong = len(line) != len(header)
        values = {name: value.strip() for name, value in zip(header, line, strict=False)}
        problem = f"{len(line)} values, the header has {len(header)} columns" if wrong else ""
        rows.append({**values, PROBLEM: problem})
    return pd.DataFrame(rows, columns=[*header, PROBLEM], dtype="str").fillna("")


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _delimiter(path: Path, header: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    return ";" if ";" in header and "," not in header else ","


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except Exception as error:  # pyarrow has many kinds of errors for what is no Parquet file
        raise StudyError(f"case table {path} cannot be read as Parquet: {error}") from error
    text = {str(name): ["" if pd.isna(value) else str(value).strip() for value in table[name]] for name in table}
    return pd.DataFrame({**text, PROBLEM: [""] * len(table)}, dtype="str")
