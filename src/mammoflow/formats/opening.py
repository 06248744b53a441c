"""Why a file cannot be opened: missing, a dangling link, a loop of links, or no permission."""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from functools import lru_cache
from pathlib import Path

from mammoflow.errors import ExcludedCase
from mammoflow.reasons.files import FileReason

MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL)
FORBIDDEN = (errno.EACCES, errno.EPERM)


def regular_file_size(path: Path, name: str = "") -> int:
    """Return the size in bytes of a regular file that is not empty; symbolic links are followed.

    Parameters
    ----------
    path
        The file.
    name
        What messages call it; the file's name where it is empty.

    Raises
    ------
    ExcludedCase
        MISSING_FILE where there is no regular file; NO_ACCESS where a folder above it may not be searched; TRUNCATED
        where it is empty.
    """
    name = name or path.name
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise cannot_open(path, error, name) from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise ExcludedCase(FileReason.MISSING_FILE, f"{name} is {kind}, expected a file")
    if status.st_size == 0:
        raise ExcludedCase(FileReason.TRUNCATED, f"{name} is empty; copy it again")
    return status.st_size


def first_bytes(path: Path, count: int) -> bytes:
    """Return up to `count` bytes from the start of a file.

    Raises
    ------
    ExcludedCase
        MISSING_FILE or NO_ACCESS where it cannot be opened.
    """
    try:
        with path.open("rb") as file:
            return file.read(count)
    except (OSError, ValueError) as error:
        raise cannot_open(path, error) from error


def cannot_open(path: Path, error: OSError | ValueError, name: str = "") -> ExcludedCase:
    """Return the exclusion for a path that the operating system does not open.

    Parameters
    ----------
    path
        The file or folder.
    error
        The error of the operating system; a ValueError for a name that no file can have.
    name
        What messages call it; the file's name where it is empty.
    """
    name = name or path.name
    number = error.errno if isinstance(error, OSError) else errno.EINVAL
    if number == errno.ELOOP:
        return ExcludedCase(FileReason.MISSING_FILE, f"{name} is a symbolic link that leads back to itself; replace it")
    if number in FORBIDDEN:
        return ExcludedCase(
            FileReason.NO_ACCESS, f"{name} may not be read by this user; change the permissions of the file or folder"
        )
    if number not in MISSING:
        return ExcludedCase(FileReason.NO_ACCESS, f"{name} cannot be opened: {os.strerror(number or errno.EIO)}")
    link = _dangling_link(path)
    if link is None:
        other = _other_spelling(path)
        hint = f"; its folder has {other!r}: correct the spelling" if other else ""
        return ExcludedCase(FileReason.MISSING_FILE, f"{name} does not exist{hint}")
    advice = "fetch it with git annex" if "annex" in link else "restore what it points to"
    return ExcludedCase(
        FileReason.MISSING_FILE, f"{name} is or lies behind a symbolic link to {link!r}, which does not exist; {advice}"
    )


def _other_spelling(path: Path) -> str:
    """Return a name in the folder of a missing file that differs in capitals or in the form of its accents, or ""."""
    try:
        changed_ns = path.parent.stat().st_mtime_ns
        return _spellings(path.parent, changed_ns).get(_plain(path.name), "")
    except (OSError, ValueError):
        return ""


@lru_cache(maxsize=16)
def _spellings(folder: Path, _changed_ns: int) -> dict[str, str]:
    return {_plain(name): name for name in os.listdir(folder)}  # noqa: PTH208


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _dangling_link(path: Path) -> str | None:
    """Return the target of the link in a path that leads nowhere, or None where there is no such link."""
    for place in (path, *path.parents):
        try:
            if place.is_symlink() and not place.exists():
                return str(place.readlink())
        except (OSError, ValueError):
            return None
    return None
