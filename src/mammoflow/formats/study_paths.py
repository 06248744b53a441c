"""Paths that a case table names: they must stay inside the study folder, links of the study's owner are followed.

A table may come from anybody, so it cannot make a stage open a file elsewhere. A symbolic link inside the study folder
was made by its owner, to keep the data on another disk, and is followed wherever it leads.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from mammoflow.errors import ExcludedCase
from mammoflow.formats.opening import cannot_open
from mammoflow.reasons.files import FileReason


def safe_path(study: Path, relative: str) -> Path:
    """Return the file that a case table names, only if its path stays inside the study folder.

    Parameters
    ----------
    study
        The study folder. Symbolic links in its place and inside it are followed.
    relative
        The path as the table has it, with forward or backward slashes; also an absolute path below the study folder.

    Raises
    ------
    ExcludedCase
        OUTSIDE_STUDY where the path climbs out of the study folder, or is an absolute path elsewhere; MISSING_FILE
        where there is no regular file; NO_ACCESS where the file may not be opened.
    """
    name = study_name(study, relative)
    path = study / name
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError) as error:
        raise cannot_open(path, error, repr(name)) from error
    if not regular or not name:
        raise ExcludedCase(FileReason.MISSING_FILE, f"{name!r} is no regular file")
    return path


def study_name(study: Path, text: str) -> str:
    """Return a path of a case table relative to the study folder, with forward slashes and without `..`.

    The file need not exist.

    Raises
    ------
    ExcludedCase
        OUTSIDE_STUDY where the path climbs out of the study folder, or is an absolute path elsewhere.
    """
    cleaned = text.strip().replace("\\", "/")
    parts = PurePosixPath(cleaned).parts
    if "\x00" in cleaned or (parts and parts[0].endswith(":")):
        raise _outside(cleaned)
    # `..` is resolved in the text and not on the disk: behind a link it would lead out of the study.
    plain = os.path.normpath(cleaned) if cleaned else ""
    if plain.startswith("/"):
        plain = _below(study, plain)
    if PurePosixPath(plain).parts[:1] == ("..",):
        raise _outside(cleaned)
    return "" if plain == "." else plain


def plain_name(study: Path, text: str) -> str:
    """Return a path of a case table as `study_name` does, or the text itself where it leaves the study folder."""
    try:
        return study_name(study, text) if text else ""
    except ExcludedCase:
        return text


def _below(study: Path, absolute: str) -> str:
    """Return an absolute path relative to the study folder, however the path of that folder is written."""
    path = Path("/" + absolute.lstrip("/"))
    places = [(path, Path(os.path.abspath(study)))]  # noqa: PTH100
    try:
        resolved = study.resolve()
        places += [(path, resolved), (path.resolve(), resolved)]
    except (OSError, RuntimeError):
        pass
    for place, folder in places:
        if place.is_relative_to(folder):
            return place.relative_to(folder).as_posix()
    raise _outside(absolute)


def _outside(text: str) -> ExcludedCase:
    return ExcludedCase(
        FileReason.OUTSIDE_STUDY,
        f"{text!r} does not stay below the study folder; write it relative to that folder, or link the folder of the "
        "files into it",
    )
