"""Listing the folders of a study: links are followed once, folders that may not be listed count as empty."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def entries(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted by name; nothing where it may not be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, and links to folders, sorted by name."""
    return [path for path in entries(folder) if is_folder(path)]


def is_folder(path: Path) -> bool:
    """Tell whether a path is a folder; False also where that cannot be found out."""
    try:
        return path.is_dir()
    except OSError:
        return False


def walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Walk down a folder as `os.walk` does, following links to folders, each folder once.

    Yields
    ------
    tuple
        A folder, the names of the folders in it, which the caller may reorder or shorten, and the names of its files.
    """
    visited: set[tuple[int, int]] = set()
    for place, inner, names in os.walk(folder, followlinks=True):
        try:
            status = os.stat(place)  # noqa: PTH116
        except OSError:
            inner.clear()
            continue
        if (status.st_dev, status.st_ino) in visited:
            inner.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        yield Path(place), inner, names
