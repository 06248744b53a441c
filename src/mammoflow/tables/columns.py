"""Columns of table schemas: types, bounds and choices."""

from __future__ import annotations

import pandera.pandas as pa

TEXT = "str"
INTEGER = "Int64"
NUMBER = "float64"
FLAG = "bool"


def text(nullable: bool = False, choices: tuple[str, ...] | None = None, required: bool = True) -> pa.Column:
    """Return a column of text."""
    checks = [pa.Check.isin(list(choices))] if choices else None
    return pa.Column(TEXT, checks=checks, nullable=nullable, coerce=True, required=required)


def integer(low: int | None = None, high: int | None = None, required: bool = True) -> pa.Column:
    """Return a column of whole numbers, which may be null, from `low` to `high`."""
    checks = [pa.Check.in_range(low, high)] if low is not None and high is not None else None
    return pa.Column(INTEGER, checks=checks, nullable=True, coerce=True, required=required)


def number(nullable: bool = True, above: float | None = None, required: bool = True) -> pa.Column:
    """Return a column of numbers, above a bound where one is given."""
    checks = [pa.Check.gt(above)] if above is not None else None
    return pa.Column(NUMBER, checks=checks, nullable=nullable, coerce=True, required=required)


def flag(required: bool = True) -> pa.Column:
    """Return a column of true and false."""
    return pa.Column(FLAG, coerce=True, required=required)
