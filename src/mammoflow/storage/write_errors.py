"""Why a file cannot be written: a full disk, a full quota, a read-only folder, in words that a user can act on."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

from mammoflow.errors import MammoflowError, StudyError

PERMISSION = "expected a folder that this user may write to; correct its permissions, or name another folder"
ROOM = "nothing was replaced; make room, then run the same command again: finished work is kept"

CAUSES = {
    errno.ENOSPC: ("the disk is full", ROOM),
    errno.EDQUOT: ("the disk quota of this user is used up", ROOM),
    errno.EFBIG: ("the file is larger than the file system or the limit of this user allows", "raise the limit"),
    errno.EROFS: ("the file system is read-only", PERMISSION),
    errno.EACCES: ("permission was denied", PERMISSION),
    errno.EPERM: ("permission was denied", PERMISSION),
    errno.ENOTDIR: ("a file is where a folder was expected", "remove or rename that file, or name another folder"),
    errno.EEXIST: ("a file is where a folder was expected", "remove or rename that file, or name another folder"),
    errno.EISDIR: ("a folder is where a file was expected", "remove or rename that folder, or name another file"),
    errno.ENAMETOOLONG: ("the name is too long for the file system", "name a shorter folder"),
    errno.ELOOP: ("its links lead in a circle", "remove the link"),
    errno.EIO: ("the disk reported an error", "check the disk, then run the same command again"),
    errno.ESTALE: ("the network file system lost the file", "mount it again, then run the same command again"),
    errno.EMFILE: ("this process has too many open files", "raise the limit (`ulimit -n`)"),
    errno.ENFILE: ("this machine has too many open files", "end other programs, then run the same command again"),
}
"""What happened, and what to do, by error number."""

LEAST_FREE = 2**16
"""Bytes. A library that only says that writing failed was stopped by a full disk where fewer are free."""

_NUMBER = re.compile(r"(?:os error|[Ee]rrno) (\d+)")


class WriteError(StudyError):
    """A file cannot be written.

    Parameters
    ----------
    path
        The file.
    cause
        What happened.
    advice
        What was expected, and what to do.
    """

    def __init__(self, path: Path | str, cause: str, advice: str) -> None:
        super().__init__(f"{path} cannot be written: {cause}; {advice}")
        self.path, self.cause, self.advice = Path(path), cause, advice

    def __reduce__(self) -> tuple[type[WriteError], tuple[Path, str, str]]:
        """Return what another process makes the same error of."""
        return type(self), (self.path, self.cause, self.advice)


def write_error(error: Exception, path: Path) -> WriteError | None:
    """Return what to tell a user about an error that arose while a file was written; None where it is no fault of it.

    Parameters
    ----------
    error
        The error. Libraries other than Python's own put the number of the system's error into their text.
    path
        The file that was to be written.
    """
    if isinstance(error, MammoflowError) or _is_of_another_file(error, path):
        return None
    number = error_number(error)
    if number in CAUSES:
        return WriteError(path, *CAUSES[number])
    if not isinstance(error, OSError) and _is_full(path):
        return WriteError(path, *CAUSES[errno.ENOSPC])
    return None


def error_number(error: Exception) -> int:
    """Return the number of the system's error behind an error of Python or a library; 0 where none is known."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = _NUMBER.search(str(error))
    return int(found[1]) if found else 0


def describe_os_error(error: OSError) -> str:
    """Return one message for an error of the system that no stage expected; "" where it may be a defect of the program.

    Parameters
    ----------
    error
        From any reading or writing.
    """
    number = error_number(error)
    if number not in CAUSES:
        return ""
    cause, advice = CAUSES[number]
    name = error.filename
    place = f"{os.fsdecode(name)!r} cannot be read or written" if isinstance(name, str | bytes) else "a file failed"
    return f"{place}: {cause}; {advice}"


def _is_of_another_file(error: Exception, path: Path) -> bool:
    """Tell whether an error names a file elsewhere, which was read while this one was written."""
    name = error.filename if isinstance(error, OSError) else None
    if not isinstance(name, str | bytes):
        return False
    named = Path(os.fsdecode(name)).absolute()
    return named.parent != path.absolute().parent and named not in path.absolute().parents


def _is_full(path: Path) -> bool:
    """Tell whether the file system of a file, or of the nearest folder above it that exists, has no room."""
    for folder in path.absolute().parents:
        try:
            return shutil.disk_usage(folder).free < LEAST_FREE
        except OSError:
            continue
    return False
