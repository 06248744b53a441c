"""The section on robustness: what degraded images cost each model, in a sentence, a figure and a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mammoflow.errors import StudyError
from mammoflow.evaluation.candidates import display_name
from mammoflow.report.content import Row, Tables
from mammoflow.report.exports import TableFile, table_file
from mammoflow.report.page import MINUS, interval, number, signed
from mammoflow.tables.robustness import NONE, ROBUSTNESS

TABLE = "robustness"

DEGRADATIONS: dict[str, tuple[str, Callable[[float], str]]] = {
    "gaussian_noise": ("noise", lambda level: f"{100 * level:g} %"),
    "blur": ("blur", lambda level: f"{level:g} mm"),
    "contrast": ("contrast", lambda level: f"× {level:g}"),
    "gamma": ("gamma", lambda level: f"{level:g}"),
    "jpeg": ("JPEG", lambda level: f"quality {level:g}"),
    "resolution": ("resolution", lambda level: f"pixels × {level:g}"),
    "spacing": ("pixel spacing", lambda level: f"{100 * level:+g} %".replace("-", MINUS)),
    "label": ("film label", lambda level: f"{level:g} mm"),
}
"""Name and level of each degradation on the page."""

Groups = list[tuple[Row, list[Row]]]

ROUNDING = 1e-9
"""Differences that are not farther from 0 are no losses."""


@dataclass(frozen=True)
class Robustness:
    """What the section shows.

    Attributes
    ----------
    sentences
        What the table says, for each score.
    lowest
        For each model its row of the undegraded images, and for each degradation the row of its lowest difference; the
        lowest of all first.
    every
        The same with all levels, in the order of the table.
    file
        The table, for the link to it.
    """

    sentences: list[str]
    lowest: Groups
    every: Groups
    file: TableFile | None


def robustness_section(folder: Path | None, titles: Mapping[str, str], confidence: float) -> Robustness | None:
    """Return what the section shows; None without a folder.

    Parameters
    ----------
    folder
        Of the robustness.
    titles
        Titles of classifiers by name.
    confidence
        Coverage of the intervals, between 0 and 1.

    Raises
    ------
    StudyError
        If the table cannot be read, or lacks a column.
    """
    if folder is None:
        return None
    table = Tables(folder, TABLE).rows(TABLE)
    missing = [name for name in ROBUSTNESS.columns if table and name not in table[0]]
    if missing:
        raise StudyError(f"table {folder / TABLE}.csv has no column {missing[0]!r}; run the {TABLE} again")
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in table:
        groups.setdefault((row["kind"], row["model"]), []).append(in_words(row))
    every = [(rows[0], [row for row in rows if row["degradation"] != NONE]) for rows in groups.values()]
    degraded = [row for _, rows in every for row in rows]
    return Robustness(
        [
            reading([row for row in degraded if row["score"] == score], titles, confidence)
            for score in dict.fromkeys(row["score"] for row in degraded)
        ],
        [(undegraded, lowest_differences(rows)) for undegraded, rows in every],
        every,
        table_file(folder, TABLE),
    )


def in_words(row: Row) -> Row:
    """Return a row with the names of the page: `title` of its degradation, `shown_level`, and bounds of its value."""
    if row["degradation"] == NONE:
        return row
    title, shown = DEGRADATIONS[row["degradation"]]
    bounds = {"value_low": row["low"], "value_high": row["high"]}
    return {**row, **bounds, "title": title, "shown_level": shown(row["level"])}


def lowest_differences(rows: Sequence[Row]) -> list[Row]:
    """Return the row with the lowest difference of each degradation of a model, the lowest of all first.

    A degradation without any difference has the row of its first level, after all others.

    Parameters
    ----------
    rows
        Of one model, without that of the undegraded images.
    """
    names = dict.fromkeys(row["degradation"] for row in rows)
    lowest = [min((row for row in rows if row["degradation"] == name), key=_by_difference) for name in names]
    return sorted(lowest, key=_by_difference)


def reading(rows: Sequence[Row], titles: Mapping[str, str], confidence: float) -> str:
    """Say in one sentence what the rows of one score show: the lowest difference, and how many intervals are below 0.

    Parameters
    ----------
    rows
        Of all models with this score, without those of the undegraded images; at least one.
    titles
        Titles of classifiers by name.
    confidence
        Coverage of the intervals, between 0 and 1.
    """
    score = rows[0]["score"]
    defined = [row for row in rows if row["difference"] is not None]
    if not defined:
        missing = "lesions of both classes have" if score == "AUC" else "lesion has"
        return f"{score}: there is no difference, because no {missing} a score with and without a degradation."
    lowest = min(defined, key=_by_difference)
    loses = lowest["difference"] < -ROUNDING
    what = "the largest loss is" if loses else "no model has a lower score; the lowest difference is"
    said = (
        f"{score}: {what} that of {display_name(str(lowest['model']), titles)} with {lowest['title']} "
        f"({lowest['shown_level']}), from {number(lowest['undegraded'])} to {number(lowest['value'])}, a difference of "
        f"{signed(lowest['difference'])}{_bounds(lowest, confidence)} on {lowest['n']:.0f} lesions of "
        f"{lowest['patients']:.0f} patients"
    )
    bounded = [row for row in defined if row["difference_high"] is not None]
    if not bounded:
        return f"{said}; none of the {len(defined)} differences has an interval."
    below = sum(row["difference_high"] < 0 for row in bounded)
    return f"{said}; the interval is below 0 for {below} of the {len(bounded)} differences that have one."


def _by_difference(row: Row) -> tuple[bool, float]:
    return row["difference"] is None, row["difference"] or 0.0


def _bounds(row: Row, confidence: float) -> str:
    if row["difference_low"] is None:
        return " (no interval)"
    contains = ", which includes 0" if row["difference_low"] <= 0 <= row["difference_high"] else ""
    return f" ({100 * confidence:g} % interval {interval(row, 'difference')}{contains})"
