"""Paths that a case table names: they must stay inside the study folder."""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath

from mammoflow.errors import ExcludedCase
from mammoflow.reasons.files import FileReason


def safe_path(study: Path, relative: str) -> Path:
    """Return the file that a case table names, only if it lies inside the study folder.

    Parameters
    ----------
    study
        The study folder; a symbolic link in place of the folder itself is followed.
    relative
        The path as the table has it, with forward or backward slashes.

    Raises
    ------
    ExcludedCase
        OUTSIDE_STUDY where the path is absolute, climbs out, or follows a symbolic link out of the folder;
        MISSING_FILE where there is no regular file.
    """
    cleaned = relative.strip().replace("\\", "/")
    parts = PurePosixPath(cleaned).parts
    if "\x00" in cleaned or cleaned.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")):
        raise ExcludedCase(FileReason.OUTSIDE_STUDY, f"{cleaned!r} does not stay below the study folder")
    path = study / cleaned
    try:
        resolved = path.resolve()
        inside = resolved.is_relative_to(study.resolve())
        regular = stat.S_ISREG(resolved.stat().st_mode) if inside else False
    except (OSError, RuntimeError) as error:
        raise ExcludedCase(FileReason.MISSING_FILE, f"{cleaned!r} cannot be found: {type(error).__name__}") from error
    if not inside:
        raise ExcludedCase(FileReason.OUTSIDE_STUDY, f"{cleaned!r} is a link to a place outside the study folder")
    if not regular or not cleaned:
        raise ExcludedCase(FileReason.MISSING_FILE, f"{cleaned!r} is no regular file")
    return path
