"""Where the files of a table lie: as it names them, or by a pattern over its columns."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

Row = Mapping[str, str]

MOST_FILES = 200_000
SAMPLE = 200  # rows that are looked at
SUFFIXES = frozenset((".dcm", ".dicom", ".png", ".tif", ".tiff", ".jpg", ".jpeg", ""))
MASK_WORDS = ("mask", "seg", "roi", "maske", "kontur", "masque", "mascara", "maschera", "outline", "_gt")
ENOUGH = 0.5  # share of the rows whose file has to be there


@dataclass(frozen=True)
class Files:
    """The picture files below a study's folder.

    Attributes
    ----------
    names
        Paths relative to the folder, with slashes.
    by_stem
        Names by the part of the file name before its suffix, without case.
    """

    names: frozenset[str]
    by_stem: Mapping[str, Sequence[str]]


def list_files(folder: Path) -> Files:
    """List the files that may be pictures, at most 200,000."""
    names: list[str] = []
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        status = Path(place).stat()
        if (status.st_dev, status.st_ino) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(place).relative_to(folder)
        for name in sorted(files):
            if PurePosixPath(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                names.append((inside / name).as_posix())
        if len(names) > MOST_FILES:
            break
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(_stem(name), []).append(name)
    return Files(frozenset(names), by_stem)


def share_there(values: Sequence[str], files: Files, folder: Path) -> float:
    """Return the share of values that are paths of files or folders below the study's folder."""
    given = [value for value in values if value][:SAMPLE]
    return sum(_is_there(value, files, folder) for value in given) / len(given) if given else 0.0


def is_mask_name(name: str) -> bool:
    """Tell whether a path sounds like that of a mask."""
    lowered = name.lower()
    return any(word in lowered for word in MASK_WORDS)


def find_pattern(rows: Sequence[Row], columns: Sequence[str], files: Files, masks: bool) -> str | None:
    """Return the pattern over columns that leads to image or mask files, such as ``images/{id}.png``, or None.

    Parameters
    ----------
    rows
        Rows of the table.
    columns
        Columns whose values may be in the names of the files; the first one with a pattern is taken.
    files
        The picture files below the study's folder.
    masks
        Whether files that sound like masks are looked for, or the others.
    """
    return next(filter(None, (_best_pattern(rows, column, files, masks) for column in columns)), None)


def _best_pattern(rows: Sequence[Row], column: str, files: Files, masks: bool) -> str | None:
    shown = [row for row in rows if row.get(column)][:SAMPLE]
    patterns: dict[str, None] = {}
    for row in shown[:5]:
        stem = _stem(row[column])
        near = [name for found, names in files.by_stem.items() if _fits(found, stem) for name in names]
        for name in near:
            if is_mask_name(name) == masks:
                patterns |= dict.fromkeys(_with_places(name, row, column))
    shares = {pattern: _share(pattern, shown, files) for pattern in patterns}
    best = max(shares, key=lambda pattern: (shares[pattern], -pattern.count("{")), default=None)
    return best if best is not None and shares[best] >= ENOUGH else None


def _fits(found: str, stem: str) -> bool:
    """Tell whether the stem of a file is that of the row, perhaps with a word such as _mask behind or before it."""
    if found == stem:
        return True
    rest = found.removeprefix(stem) if found.startswith(stem) else found.removesuffix(stem)
    return rest != found and is_mask_name(rest)


def _with_places(name: str, row: Row, column: str) -> tuple[str, str]:
    """Return the path with the column in place of its value, and with further columns for whole parts of the path."""
    path = PurePosixPath(name)
    last = path.name.replace(row[column], "{" + column + "}", 1)
    named = {text: "{" + key + "}" for key, text in row.items() if text and key != column}
    parts = path.parent.parts
    return "/".join([*parts, last]), "/".join([*(named.get(part, part) for part in parts), last])


def _share(pattern: str, rows: Sequence[Row], files: Files) -> float:
    there = 0
    for row in rows:
        name = pattern
        for key, value in row.items():
            name = name.replace("{" + key + "}", value)
        there += name in files.names
    return there / len(rows) if rows else 0.0


def _is_there(value: str, files: Files, folder: Path) -> bool:
    name = value.replace("\\", "/").removeprefix("./")
    if name in files.names:
        return True
    path = folder / name
    return (path.is_relative_to(folder) or Path(name).is_absolute()) and path.exists()


def _stem(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    return (path.stem if path.suffix.lower() in SUFFIXES else path.name).lower()
