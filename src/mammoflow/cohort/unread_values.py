"""Values of a table that cannot be read: which, how often and in which rows, in one line for each column."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from mammoflow.cohort.numbers import quoted

SHOWN_VALUES = 5
SHOWN_ROWS = 4
ROW = re.compile(r"(?P<file>.*) row (?P<number>\d+)")


class UnreadValues:
    """Collects values by column, each with the rows that have it."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, list[str]]] = {}
        self._problems: dict[str, str] = {}

    def add(self, column: str, value: str, origin: str, problem: str = "") -> None:
        """Record one value of one row, and what is wrong with it."""
        self._rows.setdefault(column, {}).setdefault(value, []).append(origin)
        _, mark, expected = problem.partition(", expected ")
        self._problems.setdefault(column, f"expected {expected}" if mark else problem)

    def __bool__(self) -> bool:
        """Tell whether anything was recorded."""
        return bool(self._rows)

    def words(self, column: str) -> list[str]:
        """Return the different values of a column."""
        return list(self._rows.get(column, {}))

    def described(self, column: str) -> str:
        """Return the values of a column with their counts and rows."""
        return describe_values(self._rows.get(column, {}))

    def notes(self, advice: Mapping[str, str], called: Callable[[str], str]) -> list[str]:
        """Return one line for each column.

        Parameters
        ----------
        advice
            For some columns: what a person can do.
        called
            Gives the name of a column in messages.
        """
        lines = []
        for column, rows in self._rows.items():
            count = sum(map(len, rows.values()))
            values = "1 value counts" if count == 1 else f"{count} values count"
            hint = f"; {advice[column]}" if column in advice else ""
            lines.append(
                f"{called(column)}: {values} as blank: {describe_values(rows)}; {self._problems[column]}{hint}"
            )
        return lines


def describe_values(rows: Mapping[str, Sequence[str]]) -> str:
    """List values with how often they occur and in which rows, the most frequent first."""
    ordered = sorted(rows, key=lambda value: -len(rows[value]))
    shown = [f"{len(rows[value])} x {quoted(value)} ({describe_rows(rows[value])})" for value in ordered[:SHOWN_VALUES]]
    more = len(ordered) - SHOWN_VALUES
    return ", ".join(shown) + (f" and {more} other values" if more > 0 else "")


def describe_rows(origins: Sequence[str]) -> str:
    """Name rows, the file once: cases.csv row 2, 3, 7."""
    names: list[str] = []
    last = ""
    for origin in origins[:SHOWN_ROWS]:
        match = ROW.fullmatch(origin)
        names.append(match["number"] if match and match["file"] == last else origin)
        last = match["file"] if match else ""
    return ", ".join(names) + (", ..." if len(origins) > SHOWN_ROWS else "")
