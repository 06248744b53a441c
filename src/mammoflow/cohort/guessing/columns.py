"""Which column of a table holds what, by its header and by its content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from mammoflow.cohort.guessing.files import (
    ENOUGH,
    Files,
    Row,
    find_pattern,
    is_mask_name,
    share_there,
)
from mammoflow.cohort.guessing.headers import EXACT, HEADERS, box_columns, is_acr, likeness
from mammoflow.cohort.numbers import decimal_mark, parse_number
from mammoflow.cohort.plain_text import word_key
from mammoflow.cohort.readers._table_options import TableColumn
from mammoflow.cohort.table_files import columns_of, records
from mammoflow.cohort.words import (
    LESION_TYPES,
    OFFICIAL_SPLITS,
    is_known_view,
    parse_age,
    parse_birads,
    parse_density,
    parse_label,
    parse_side,
    parse_usable,
    parse_view,
)

SAMPLE = 2000  # values of a column that are looked at
BY_CONTENT: tuple[TableColumn, ...] = ("side", "view", "label", "type")
"""What the words of a column tell without a usual header."""
CERTAIN = 0.95
MICROMETRES_FROM = 5.0  # no detector has pixels of 5 mm, and none has pixels of 5 µm


@dataclass
class Guess:
    """What is believed about a table.

    Attributes
    ----------
    columns
        What mammoflow looks for, and the column of the table or the pattern over columns.
    doubts
        Of some of them: why a person should look.
    rivals
        Of some of them: other columns that fit as well.
    spacing_factor
        By which the spacing column has to be multiplied; 0.001 where it is in micrometres.
    """

    columns: dict[TableColumn, str] = field(default_factory=dict)
    doubts: dict[TableColumn, str] = field(default_factory=dict)
    rivals: dict[TableColumn, list[str]] = field(default_factory=dict)
    spacing_factor: float = 1.0


def guess_columns(table: pd.DataFrame, folder: Path, files: Files) -> Guess:
    """Guess which column of a table holds what.

    Parameters
    ----------
    table
        The table as text, as `read_text_table` gives it.
    folder
        The study's folder, which paths in the table are relative to.
    files
        The picture files below it.
    """
    headers = columns_of(table)
    guess = Guess(columns=dict(box_columns(headers)))
    taken = set(guess.columns.values())
    shown = table[headers].head(SAMPLE)
    _guess_files(guess, shown, folder, files)
    taken |= set(guess.columns.values())
    values = {header: [text for text in shown[header] if text] for header in headers}
    ranked: list[tuple[float, TableColumn, str]] = []
    for key in HEADERS:
        if key in ("image", "mask"):
            continue
        for header in headers:
            by_name, by_content = likeness(header, key), _content(key, values[header])
            if by_name and by_content >= ENOUGH:
                ranked.append((2 * by_name + by_content, key, header))
            elif key in BY_CONTENT and by_content >= CERTAIN and _tells(key, values[header]):
                ranked.append((by_content, key, header))
    for score, key, header in sorted(ranked, key=lambda entry: -entry[0]):
        if header in taken:
            continue
        if key in guess.columns:
            if score >= 2 * EXACT and likeness(guess.columns[key], key) == likeness(header, key):
                guess.rivals.setdefault(key, []).append(header)
            continue
        guess.columns[key] = header
        taken.add(header)
        if likeness(header, key) < EXACT:
            guess.doubts[key] = f"the name {header!r} is not a usual one"
    for header in filter(is_acr, headers):
        if header not in taken:
            _guess_acr(guess, header, values[header])
    if "patient" not in guess.columns:
        _guess_patient(guess, values, taken)
    _guess_unit(guess, values)
    return guess


def _guess_files(guess: Guess, shown: pd.DataFrame, folder: Path, files: Files) -> None:
    """Find the columns of image and mask files, or patterns that lead to files."""
    headers = [str(name) for name in shown.columns]
    there = {header: share_there(list(shown[header]), files, folder) for header in headers}
    paths = [header for header in headers if there[header] >= ENOUGH]
    masks = [header for header in paths if _is_mask(header, list(shown[header]))]
    images = [header for header in paths if header not in masks]
    rows: Sequence[Row] = records(shown)
    ids = sorted(headers, key=lambda header: -max(likeness(header, "image"), likeness(header, "image_id")))
    if images:
        best = max(images, key=lambda header: (likeness(header, "image"), there[header]))
        guess.columns["image"] = best
        if there[best] < 1:
            guess.doubts["image"] = f"{1 - there[best]:.0%} of its files are not below the folder"
    if masks:
        guess.columns["mask"] = max(masks, key=lambda header: (likeness(header, "mask"), there[header]))
    files_of: tuple[TableColumn, ...] = ("image", "mask")
    for key in files_of:
        boxed = key == "mask" and "box_y0" in guess.columns
        pattern = None if key in guess.columns or boxed else find_pattern(rows, ids, files, masks=key == "mask")
        if pattern is not None:
            guess.columns[key] = pattern
            guess.doubts[key] = "the pattern was found by the names of the files"


def _is_mask(header: str, values: list[str]) -> bool:
    if likeness(header, "mask"):
        return True
    given = [value for value in values if value]
    return bool(given) and not likeness(header, "image") and all(map(is_mask_name, given))


def _guess_acr(guess: Guess, header: str, values: list[str]) -> None:
    """Take a column ACR as breast density where another column is BI-RADS, and else as BI-RADS, if its values fit."""
    may_be_birads = _content("birads", values) >= ENOUGH
    may_be_density = _content("density", values) == 1
    if may_be_density and ("birads" in guess.columns or not may_be_birads):
        guess.columns.setdefault("density", header)
    elif may_be_birads and "birads" in guess.columns:
        guess.rivals.setdefault("birads", []).append(header)
    elif may_be_birads:
        guess.columns["birads"] = header
        if may_be_density:
            guess.doubts["birads"] = "ACR may be the density"


def _guess_patient(guess: Guess, values: dict[str, list[str]], taken: set[str]) -> None:
    """Take a column of ids where none has a usual name: the one whose values repeat most."""
    candidates = [
        header
        for header, texts in values.items()
        if header not in taken
        and texts
        and {"id", "nr", "no", "nummer", "number", "code"} & set(word_key(header).split())
        and len(set(texts)) > 1
    ]
    if candidates:
        best = min(candidates, key=lambda header: len(set(values[header])) / len(values[header]))
        guess.columns["patient"] = best
        guess.doubts["patient"] = "no column has a usual name for it; lesions of one patient must have one value"


def _guess_unit(guess: Guess, values: dict[str, list[str]]) -> None:
    header = guess.columns.get("spacing")
    if header is None:
        return
    mark = decimal_mark(values[header])
    numbers = sorted(number for text in values[header] if (number := _number(text, mark)) is not None)
    if numbers and numbers[len(numbers) // 2] >= MICROMETRES_FROM:
        guess.spacing_factor = 0.001
        guess.doubts["spacing"] = "the numbers look like micrometres"


def _content(key: TableColumn, values: Sequence[str]) -> float:
    """Return the share of a column's values that can be what mammoflow looks for; 1 where any text can."""
    if not values:
        return 0.0
    readable = READABLE.get(key)
    return 1.0 if readable is None else sum(map(readable, values)) / len(values)


def _tells(key: TableColumn, values: Sequence[str]) -> bool:
    """Tell whether words, and not only numbers or single letters, speak for the content."""
    words = {word_key(value) for value in values}
    long = any(len(word) > 1 and not word.isdigit() for word in words)
    return 1 < len(words) < 20 and (long or (key == "side" and words == {"l", "r"}))


def can_be_read(parse: Callable[[str], object]) -> Callable[[str], bool]:
    """Return a function that tells whether a text has a meaning for `parse`."""

    def has_meaning(text: str) -> bool:
        try:
            return parse(text) is not None
        except ValueError:
            return False

    return has_meaning


def _number(text: str, mark: str) -> float | None:
    try:
        return parse_number(text, 0, mark)
    except ValueError:
        return None


READABLE: dict[TableColumn, Callable[[str], bool]] = {
    "side": can_be_read(parse_side),
    "view": lambda text: is_known_view(parse_view(text)[0]),
    "label": can_be_read(parse_label),
    "birads": can_be_read(parse_birads),
    "density": can_be_read(parse_density),
    "age": can_be_read(parse_age),
    "type": lambda text: word_key(text) in LESION_TYPES,
    "usable": can_be_read(parse_usable),
    "split": lambda text: word_key(text) in OFFICIAL_SPLITS,
    "spacing": lambda text: _number(text, ",") is not None or _number(text, ".") is not None,
}
