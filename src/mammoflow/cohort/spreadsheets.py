"""Excel workbooks as text, by openpyxl: each cell as a person sees it."""

from __future__ import annotations

import re
import zipfile
from datetime import date, datetime, time
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import iterparse

from mammoflow.errors import MammoflowError, StudyError

MOST_CELLS = 20_000_000
LARGEST_INFLATED = 2**30  # bytes of a workbook without its compression
ZEROS = re.compile(r"0{2,}")


def read_sheet(path: Path, sheet: str = "") -> tuple[list[tuple[int, list[str]]], list[str]]:
    """Read one sheet of a workbook.

    Parameters
    ----------
    path
        An .xlsx or .xlsm file.
    sheet
        Name of the sheet; "" takes the first one that is not empty.

    Returns
    -------
    tuple
        The number of each row in the sheet, from 1, with the text of its cells, without blank rows; and notes on what a
        person may not expect.

    Raises
    ------
    StudyError
        If the file is no workbook, the sheet is missing or empty, or a formula has no stored result.
    """
    import openpyxl

    try:
        content = path.read_bytes()  # a path with another suffix than .xlsx is refused
        _refuse_inflated(content, path)
        values = openpyxl.load_workbook(BytesIO(content), data_only=True)
        formulas = openpyxl.load_workbook(BytesIO(content))
    except MammoflowError:
        raise
    except Exception as error:  # openpyxl has many kinds of errors for a damaged workbook
        raise StudyError(f"case table {path} cannot be read as an Excel workbook: {error}; save it again") from error
    for part in values.worksheets:
        if part.max_row * part.max_column > MOST_CELLS:
            raise StudyError(
                f"case table {path}, sheet {part.title!r} has {part.max_row:,} rows and {part.max_column:,} columns; "
                f"expected at most {MOST_CELLS:,} cells; remove stray cells far below or beside the table, or save it "
                "as CSV"
            )
    filled = [part.title for part in values.worksheets if any(any(row) for row in part.iter_rows(values_only=True))]
    if sheet and sheet not in filled:
        raise StudyError(
            f"case table {path} has no sheet {sheet!r} with content; expected one of {', '.join(filled) or 'none'}: "
            "correct cohort.dataset.options.sheet"
        )
    if not filled:
        raise StudyError(f"case table {path} is empty; expected a header and one row per lesion")
    chosen = sheet or filled[0]
    cells = values[chosen]
    blank = {
        cell.coordinate: cells[cell.coordinate].data_type
        for row in formulas[chosen].iter_rows()
        for cell in row
        if cell.data_type == "f" and cells[cell.coordinate].value is None
    }
    # openpyxl gives an empty text, whose type is "str", as None too.
    never = _without_result(content) if "str" in blank.values() else set()
    uncomputed = [place for place, kind in blank.items() if kind != "str" or place in never]
    if uncomputed:
        raise StudyError(
            f"case table {path}, sheet {chosen!r}: the formula in {uncomputed[0]} has no stored result "
            f"({len(uncomputed)} such cells); open the workbook in a spreadsheet and save it, or save it as CSV"
        )
    rows = [(place, [_text(cell) for cell in row]) for place, row in enumerate(cells.iter_rows(), start=1)]
    notes = (
        []
        if len(filled) == 1 or sheet
        else [
            f"{path.name}: the sheet {chosen!r} was read, not {', '.join(map(repr, filled[1:]))} "
            "(cohort.dataset.options.sheet)"
        ]
    )
    hidden = sum(bool(cells.row_dimensions[place].hidden) for place, row in rows if any(row))
    notes += [f"{path.name}: {hidden} hidden rows of the sheet {chosen!r} were read too"] if hidden else []
    return [(place, row) for place, row in rows if any(row)], notes


def _without_result(content: bytes) -> set[str]:
    """Return the places of formulas that a program has written without a result, in any sheet of a workbook."""
    found = set()
    with zipfile.ZipFile(BytesIO(content)) as book:
        for name in book.namelist():
            if not (name.startswith("xl/worksheets/") and name.endswith(".xml")):
                continue
            with book.open(name) as sheet:
                for _, element in iterparse(sheet):
                    if element.tag.endswith("}c"):
                        parts = {part.tag.rpartition("}")[2] for part in element}
                        if "f" in parts and "v" not in parts:
                            found.add(element.get("r", ""))
                    if element.tag.endswith("}row"):
                        element.clear()
    return found


def _refuse_inflated(content: bytes, path: Path) -> None:
    """Refuse a workbook whose parts would fill the memory; a small file can hold gigabytes of zeros."""
    size = sum(part.file_size for part in zipfile.ZipFile(BytesIO(content)).infolist())
    if size > LARGEST_INFLATED:
        raise StudyError(
            f"case table {path} holds {size / 2**30:.1f} GiB once it is unpacked; expected at most "
            f"{LARGEST_INFLATED // 2**30} GiB; save the sheet as CSV"
        )


def _text(cell: Any) -> str:
    """Return a cell as it is shown: whole numbers without a point, with the leading zeros of their format."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        whole = isinstance(value, int) or value.is_integer()
        if whole and ZEROS.fullmatch(str(cell.number_format)):
            return f"{int(value):0{len(cell.number_format)}d}"
        return str(int(value)) if whole and abs(value) < 2**53 else repr(value)
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, date | time) else str(value).strip()
