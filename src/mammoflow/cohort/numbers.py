"""Numbers in a table of text, and quoting a table's text in a message."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

LONGEST_QUOTED = 40  # characters of a table in a message; a report on a patient may be in the wrong column
NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?")
GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
"""What may be a number with a separator of thousands: 1.234 or 1,234."""


def quoted(text: str) -> str:
    """Return a table's text in quotation marks for a message, cut where it is long."""
    return repr(text if len(text) <= LONGEST_QUOTED else f"{text[:LONGEST_QUOTED]}...")


def decimal_mark(texts: Iterable[str]) -> str:
    """Return the mark that a column's numbers have before their decimals: "." or ","; "" where it has both."""
    marks = {
        "," if "," in text else "."
        for text in map(str.strip, texts)
        if NUMBER.fullmatch(text) and not GROUPED.fullmatch(text) and ("," in text or "." in text)
    }
    return "" if len(marks) > 1 else next(iter(marks), ".")


def parse_integer(text: str, low: int, high: int) -> int | None:
    """Read a whole number within bounds, also one that was saved as 4.0 or 4,0; None for a blank.

    Raises
    ------
    ValueError
        If the text is anything else.
    """
    if not text:
        return None
    number = _float(text)
    if not number.is_integer() or not low <= number <= high:
        raise ValueError(f"found {quoted(text)}, expected a whole number from {low} to {high}")
    return int(number)


def parse_number(text: str, above: float | None = None, mark: str = ".") -> float | None:
    """Read a finite number; None for a blank.

    Parameters
    ----------
    text
        The number.
    above
        A bound that it has to exceed.
    mark
        What is before the decimals in the column, as `decimal_mark` tells. 1,234 is read only where the column has
        decimal commas, and 1.234 only where it has none.

    Raises
    ------
    ValueError
        If the text is no number, not finite, not above the bound, or ambiguous.
    """
    if not text:
        return None
    value = text.strip()
    if GROUPED.fullmatch(value) and (not mark or mark not in value):
        raise ValueError(
            f"found {quoted(text)}, which may be a decimal number or thousands; expected one decimal mark in all of "
            "the column and no separator of thousands"
        )
    number = _float(text)
    if not math.isfinite(number) or (above is not None and number <= above):
        bound = "" if above is None else f" above {above:g}"
        raise ValueError(f"found {quoted(text)}, expected a number{bound}")
    return number


def _float(text: str) -> float:
    value = text.strip()
    return float(value.replace(",", ".")) if NUMBER.fullmatch(value) else math.nan
