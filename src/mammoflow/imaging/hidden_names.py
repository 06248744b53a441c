"""Texts without the names of a study's files, which may be names of patients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mammoflow.errors import ExcludedCase
from mammoflow.reasons.files import FileReason

ABOUT_NAMES = {FileReason.MISSING_FILE, FileReason.NO_ACCESS, FileReason.OUTSIDE_STUDY}
"""Reasons whose details name files alone, others than those of the row among them, such as the target of a link."""


def without_files(problem: ExcludedCase, row: Mapping[str, Any], path: str) -> str:
    """Return the detail of a problem without the names of files.

    The folders, names and stems of the row's paths become `…` if they have more than 2 letters. The details of
    `ABOUT_NAMES` are left out.
    """
    if problem.reason in ABOUT_NAMES:
        return ""
    text = problem.detail
    paths = [Path(value) for value in (path, row.get("image_path"), row.get("mask_path")) if isinstance(value, str)]
    parts = {part for each in paths for part in (str(each), each.name, each.stem, *each.parts)}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "…") if len(part) > 2 else text
    return text
