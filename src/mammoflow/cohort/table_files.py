"""Reading a table as text, row by row, so that one bad row does not cost the table.

CSV with any delimiter and encoding that can be told with certainty, Excel workbooks and Parquet are told by content.
"""

from __future__ import annotations

import datetime
import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.cohort.delimited_text import Record, read_records
from mammoflow.cohort.plain_text import plain_text
from mammoflow.cohort.spreadsheets import read_sheet
from mammoflow.cohort.table_bytes import decode_table, kind_of_table
from mammoflow.errors import StudyError

MOST_PARQUET_CELLS = 200_000_000
ORIGIN = "row_origin"
PROBLEM = "row_problem"
COMMA_HINT = "; a comma inside a value, such as a decimal comma, needs quotation marks"
LONGEST_START = 200  # characters by which a web page is told
FORMULA_TEXT = re.compile(r'="(.*)"')  # how some programs keep the zeros of ="00123" from a spreadsheet

_RECORD: ContextVar[dict[str, str] | None] = ContextVar("record of the tables that are read", default=None)


@contextmanager
def recorded_tables() -> Iterator[dict[str, str]]:
    """Give a mapping that takes up path and SHA-256 of each table that is read inside, as it was read."""
    record: dict[str, str] = {}
    token = _RECORD.set(record)
    try:
        yield record
    finally:
        _RECORD.reset(token)


@dataclass(frozen=True)
class TableForm:
    """What the settings say about the form of a table; "" leaves it to the file's content.

    Attributes
    ----------
    encoding
        Name of the text's encoding.
    delimiter
        The character between two values.
    sheet
        The sheet of a workbook.
    """

    encoding: str = ""
    delimiter: str = ""
    sheet: str = ""


def read_text_table(path: Path, form: TableForm | None = None, notes: list[str] | None = None) -> pd.DataFrame:
    """Read a table with every value as stripped text, blanks as "".

    Two columns are added: `row_origin`, the file and the number of the row, and `row_problem`, "" or what is wrong with
    the row's form. Rows are numbered as a spreadsheet numbers them: the first row of the file is 1, which is the header
    as a rule; blank rows count, and a row with line breaks inside quotation marks is one row. Rows of a Parquet file
    are numbered from 1.

    Parameters
    ----------
    path
        The file.
    form
        What the settings say about it.
    notes
        Takes up what a person should know about how the file was read.

    Raises
    ------
    StudyError
        If the file is missing, empty, or no table.
    """
    form, notes = form or TableForm(), [] if notes is None else notes
    if not path.is_file():
        raise StudyError(f"case table {path} does not exist; check cohort.dataset.folder and cohort.dataset.tables")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StudyError(f"case table {path} cannot be read: {error.strerror}") from error
    record = _RECORD.get()
    if record is not None:
        record[str(path)] = hashlib.sha256(content).hexdigest()
    kind = kind_of_table(content, f"case table {path}")
    if kind == "parquet":
        return _from_parquet(path)
    if kind == "xlsx":
        records, sheet_notes = read_sheet(path, form.sheet)
        notes += sheet_notes
        return _from_records(records, path)
    text, note = decode_table(content, f"case table {path}", form.encoding)
    kind_of_table(text[:LONGEST_START].encode("utf-8", "replace"), f"case table {path}")  # a web page in UTF-16
    notes += [note.replace(f"case table {path}", path.name)] if note else []
    records, delimiter = read_records(text, str(path), path.suffix, form.delimiter)
    return _from_records(records, path, COMMA_HINT if delimiter == "," else "")


def require_columns(table: pd.DataFrame, needed: list[str], origin: str) -> None:
    """Stop where a table lacks columns.

    Raises
    ------
    StudyError
        With the columns that are missing and those that were found.
    """
    missing = [name for name in needed if name not in table.columns]
    if missing:
        found = columns_of(table)
        raise StudyError(
            f"{origin} lacks the columns {', '.join(missing)}; it has: {', '.join(found)}{column_hint(missing, found)}"
        )


def columns_of(table: pd.DataFrame) -> list[str]:
    """Return the columns of the file."""
    return [str(name) for name in table.columns if name not in (ORIGIN, PROBLEM)]


def column_hint(missing: Sequence[str], found: Sequence[str]) -> str:
    """Suggest what may be wrong where columns are missing: "" or a text that begins with a semicolon."""
    if len(found) == 1:
        return (
            f"; the header {found[0]!r} is one column, so no comma, semicolon, tab or | parts the values; set "
            "cohort.dataset.options.delimiter to the character that does, and remove lines above the header"
        )
    folded = {name.casefold(): name for name in found}
    near = {
        name: folded[match[0]]
        for name in missing
        if (match := difflib.get_close_matches(name.casefold(), folded, 1, 0.8))
    }
    return f"; did you mean {', '.join(map(repr, dict.fromkeys(near.values())))}?" if near else ""


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as dictionaries."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _from_records(lines: Sequence[Record], path: Path, hint: str = "") -> pd.DataFrame:
    if not lines:
        raise StudyError(f"case table {path} is empty; expected a header and one row per lesion")
    header = _header(lines, path)
    rows = []
    for number, line in lines[1:]:
        filled = [value for value in line[len(header) :] if value.strip()]
        wrong = len(line) < len(header) or bool(filled)
        values = {name: _cell(value) for name, value in zip(header, line, strict=False)}
        problem = f"{len(line)} values, the header has {len(header)} columns" if wrong else ""
        problem += hint if wrong and len(line) > len(header) else ""
        rows.append({**values, ORIGIN: f"{path.name} row {number}", PROBLEM: problem})
    names = [name for name in header if name]
    return pd.DataFrame(rows, columns=[*names, PROBLEM, ORIGIN], dtype="str").fillna("")


def _header(lines: Sequence[Record], path: Path) -> list[str]:
    """Return the names of the columns; a column without a name has "" if it is blank, and else its place."""
    header = [plain_text(name) for name in lines[0][1]]
    while (
        header
        and not header[-1]
        and not any(len(row) >= len(header) and row[len(header) - 1].strip() for _, row in lines)
    ):
        header.pop()
    header = [
        name or (f"(column {place + 1})" if any(len(row) > place and row[place].strip() for _, row in lines) else "")
        for place, name in enumerate(header)
    ]
    _check_names([name for name in header if name], path)
    return header


def _check_names(names: Sequence[str], path: Path) -> None:
    """Stop where two columns have one name, or a column has a name of `read_text_table`'s own columns."""
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise StudyError(
            f"case table {path} names the column {twice!r} twice; its header is {', '.join(names)}; expected a name of "
            "its own for each: rename or remove one"
        )
    if reserved := {ORIGIN, PROBLEM} & set(names):
        raise StudyError(f"case table {path} has the column {min(reserved)!r}, a name that mammoflow uses; rename it")


def _cell(text: str) -> str:
    stripped = text.strip().strip("\ufeff").strip()
    formula = FORMULA_TEXT.fullmatch(stripped)
    return formula[1].strip() if formula else stripped


def _from_parquet(path: Path) -> pd.DataFrame:
    try:
        _refuse_endless(path)
        table = pd.read_parquet(path, dtype_backend="numpy_nullable")  # whole numbers stay exact beside blanks
    except StudyError:
        raise
    except Exception as error:  # pyarrow has many kinds of errors for what is no Parquet file
        raise StudyError(f"case table {path} cannot be read as Parquet: {error}") from error
    levels = [place for place in range(table.index.nlevels) if _repeats_column(table, place)]
    table = table.reset_index(levels, drop=True) if levels else table
    table = table.reset_index(allow_duplicates=True) if table.index.names != [None] else table
    names = [plain_text(str(name)) for name in table.columns]
    _check_names(names, path)
    text = {name: _texts(table.iloc[:, place]) for place, name in enumerate(names)}
    origins = [f"{path.name} row {number}" for number in range(1, len(table) + 1)]
    return pd.DataFrame({**text, PROBLEM: [""] * len(table), ORIGIN: origins}, dtype="str")


def _refuse_endless(path: Path) -> None:
    """Refuse a table that would fill the memory; a file of a megabyte can hold hundreds of millions of equal rows."""
    from pyarrow.parquet import read_metadata

    found = read_metadata(path)
    if found.num_rows * found.num_columns > MOST_PARQUET_CELLS:
        raise StudyError(
            f"case table {path} has {found.num_rows:,} rows and {found.num_columns:,} columns; expected at most "
            f"{MOST_PARQUET_CELLS:,} cells; keep the rows and columns of the study"
        )


def _repeats_column(table: pd.DataFrame, level: int) -> bool:
    """Tell whether a level of the index has name and values of a column, as after `set_index(..., drop=False)`."""
    named = [place for place, name in enumerate(table.columns) if name == table.index.names[level]]
    return any(_texts(table.iloc[:, place]) == _texts(table.index.get_level_values(level)) for place in named)


def _texts(values: Iterable[Any]) -> list[str]:
    return [_text(value) for value in values]


def _text(value: Any) -> str:
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return ""
    if pd.api.types.is_float(value):
        return str(float(value))  # also of 32 bits, with the digits that are computed with
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return str(value).strip()
