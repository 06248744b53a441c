"""The records of a delimited text: which character parts the values, and what is wrong with the quotation marks."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from mammoflow.errors import StudyError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
EXAMINED = 500  # records by which the delimiter is chosen
LEAST_SHARE = 0.5  # of the records that have as many values as the header

Record = tuple[int, list[str]]
"""The number of a record, from 1 for the first one of the file, as a spreadsheet numbers its rows, and its values."""


def read_records(text: str, origin: str, suffix: str = "", delimiter: str = "") -> tuple[list[Record], str]:
    """Split a text into records; blank ones are left out, but counted.

    Parameters
    ----------
    text
        The table.
    origin
        The file, for messages.
    suffix
        Of the file's name; `.tsv` and `.tab` prefer the tab, others the comma, where two characters fit equally.
    delimiter
        The character that the settings name; "" chooses the one by which most records have as many values as the
        header, and of several the one that gives more columns.

    Returns
    -------
    tuple
        The records, the header first, and the delimiter. A record with line breaks inside quotation marks is one
        record.

    Raises
    ------
    StudyError
        If two delimiters fit equally, or a quotation mark opens that no other one closes.
    """
    if named := re.match(r"\ufeff?sep=(.)\r?\n", text):  # what Excel reads in place of a setting
        text, delimiter = text[named.end() :], delimiter or named[1]
    chosen = delimiter or _choose(text, origin, "\t" if suffix.lower() in (".tsv", ".tab") else ",")
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=chosen))
    except csv.Error as error:
        raise StudyError(
            f"case table {origin} cannot be read as CSV: {error}; look for an open quotation mark"
        ) from error
    _refuse_open_quotes(text, rows, chosen, origin)
    return [(place, row) for place, row in enumerate(rows, start=1) if any(value.strip() for value in row)], chosen


def _choose(text: str, origin: str, preferred: str) -> str:
    fitting: dict[str, int] = {}
    for delimiter in DELIMITERS:
        rows = _first_rows(text, delimiter)
        width = len(rows[0]) if rows else 0
        share = sum(len(row) == width for row in rows[1:]) / max(len(rows) - 1, 1)
        if width > 1 and (share >= LEAST_SHARE or len(rows) == 1):
            fitting[delimiter] = width
    if not fitting:
        # No delimiter fits most rows: the header alone tells, as each row of another length is reported by itself.
        header = _first_rows(text.lstrip().partition("\n")[0], preferred)
        counts = {name: len(row[0]) for name in DELIMITERS if (row := _first_rows(text, name))}
        return preferred if header and len(header[0]) > 1 else max(counts, key=lambda name: counts[name], default=",")
    widest = max(fitting.values())
    best = [delimiter for delimiter, width in fitting.items() if width == widest]
    if len(best) > 1 and preferred not in best:
        names = " and ".join(DELIMITERS[delimiter] for delimiter in best)
        raise StudyError(
            f"case table {origin} can be read with {names} as delimiter; expected one of them: set "
            "cohort.dataset.options.delimiter"
        )
    return preferred if preferred in best else best[0]


def _first_rows(text: str, delimiter: str) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if any(value.strip() for value in row):
                rows.append(row)
            if len(rows) > EXAMINED:
                break
    except csv.Error:
        return rows
    return rows


def _refuse_open_quotes(text: str, rows: Sequence[Sequence[str]], delimiter: str, origin: str) -> None:
    """Stop where a quotation mark swallowed rows: the text breaks CSV's rules, and a value holds a whole row."""
    try:
        for _ in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            pass
    except csv.Error as error:
        width = len(next((row for row in rows if any(row)), []))
        for number, row in enumerate(rows, start=1):
            inner = [line for value in row for line in value.splitlines()[1:]]
            if any(line.count(delimiter) >= width - 1 for line in inner):
                raise StudyError(
                    f"case table {origin}, row {number}: a quotation mark opens and swallows the rows below it "
                    f"({error}); close it, or remove it"
                ) from error
