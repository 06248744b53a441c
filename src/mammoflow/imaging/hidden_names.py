"""Texts without the names of a study's files, which may be names of patients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def without_files(text: str, row: Mapping[str, Any], path: str) -> str:
    """Return a text without the paths of a row: their folders, names and stems of more than 2 letters become `…`."""
    paths = [Path(value) for value in (path, row.get("image_path"), row.get("mask_path")) if isinstance(value, str)]
    parts = {part for each in paths for part in (str(each), each.name, each.stem, *each.parts)}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "…") if len(part) > 2 else text
    return text
