"""What a stage prints at its end: one line for each flag and each reason, with the first cases by id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mammoflow.run.console import say

FLAG = "flag_"
LISTED = 5
"""Cases that one line names; the tables have all of them."""

Groups = dict[str, list[str]]


def by_flag(rows: Iterable[Mapping[str, Any]], key: str) -> Groups:
    """Return the ids of the rows that each flag marks, flags as words.

    Parameters
    ----------
    rows
        Rows with boolean columns `flag_*`.
    key
        Column of the id.
    """
    groups: Groups = {}
    for row in rows:
        for name, value in row.items():
            if name.startswith(FLAG) and value is not None and value == True:  # noqa: E712, numpy's booleans are no bool
                groups.setdefault(name.removeprefix(FLAG).replace("_", " "), []).append(str(row[key]))
    return groups


def by_reason(rows: Iterable[Mapping[str, Any]], levels: Sequence[str], key: str) -> Groups:
    """Return the ids of the excluded cases of some levels for each reason.

    Parameters
    ----------
    rows
        Rows of the table EXCLUDED.
    levels
        Levels to list, such as lesion.
    key
        Column of the id; where it is empty, the detail takes its place.
    """
    groups: Groups = {}
    for row in rows:
        if row["level"] in levels:
            groups.setdefault(str(row["reason"]), []).append(str(row[key] or row["detail"]))
    return groups


def lines(what: str, groups: Groups) -> list[str]:
    """Return one line for each group, the largest first, such as "lesions flagged: 2 x mask rescaled (a, b)"."""
    return [f"{what}: {group}" for group in sized(groups, listed=LISTED)]


def counted(groups: Groups) -> str:
    """Return the sizes of groups in one line, such as "2 x mask rescaled; 1 x mask tiny"; "none" without any."""
    return "; ".join(sized(groups)) or "none"


def sized(groups: Groups, listed: int = 0) -> list[str]:
    """Return each group with its size, the largest first, and its first ids."""
    texts = []
    for name, ids in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        more = len(ids) - listed
        shown = ", ".join(ids[:listed]) + (f" and {more:,} more" if more > 0 else "")
        texts.append(f"{len(ids)} x {name}" + (f" ({shown})" if listed else ""))
    return texts


def announce(texts: Iterable[str]) -> None:
    """Print lines to standard error, unless the command is quiet."""
    for text in texts:
        say(text)
