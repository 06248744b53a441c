"""Notes of a row in several folds as the notes of its pooled row: numbers that differ become ranges."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def pooled_notes(notes: Mapping[int, tuple[str, ...]]) -> tuple[str, ...]:
    """Join the notes that a candidate has in each fold.

    Notes with the same words become one: where a number differs, it is the range over the folds, such as
    `fitted on 38 to 45 validation lesions`. A note that some folds lack names the folds that have it.

    Parameters
    ----------
    notes
        Number of each fold to the notes of the candidate in it.
    """
    said: dict[str, dict[int, str]] = {}
    for fold in sorted(notes):
        for note in notes[fold]:
            said.setdefault(_NUMBER.sub("#", note), {})[fold] = note
    joined = []
    for by_fold in said.values():
        note = _with_ranges(list(by_fold.values()))
        folds = [str(fold) for fold in by_fold]
        where = f"fold {folds[0]}" if len(folds) == 1 else f"folds {', '.join(folds[:-1])} and {folds[-1]}"
        joined.append(note if len(by_fold) == len(notes) else f"in {where}: {note}")
    return tuple(joined)


def _with_ranges(notes: list[str]) -> str:
    """Return notes that differ in their numbers only as one, with the range of each number that differs."""
    columns = zip(*(_NUMBER.findall(note) for note in notes), strict=True)
    ranges = []
    for column in columns:
        low, high = min(column, key=float), max(column, key=float)
        ranges.append(low if low == high else f"{low} to {high}")
    return _NUMBER.sub(lambda _: ranges.pop(0), notes[0])
