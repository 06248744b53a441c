"""Numbers in a table of text, and quoting a table's text in a message."""

from __future__ import annotations

import math

LONGEST_QUOTED = 40  # characters of a table in a message; a report on a patient may be in the wrong column


def quoted(text: str) -> str:
    """Return a table's text in quotation marks for a message, cut where it is long."""
    return repr(text if len(text) <= LONGEST_QUOTED else f"{text[:LONGEST_QUOTED]}...")


def parse_integer(text: str, low: int, high: int) -> int | None:
    """Read a whole number within bounds, also one that was saved as 4.0; None for a blank.

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


def parse_number(text: str, above: float | None = None) -> float | None:
    """Read a finite number; None for a blank.

    Raises
    ------
    ValueError
        If the text is no number, not finite, or not above the bound.
    """
    if not text:
        return None
    number = _float(text)
    if not math.isfinite(number) or (above is not None and number <= above):
        bound = "" if above is None else f" above {above:g}"
        raise ValueError(f"found {quoted(text)}, expected a number{bound} with a decimal point")
    return number


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
