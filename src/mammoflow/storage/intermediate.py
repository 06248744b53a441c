"""Intermediate results: folders that are removed after use, and arrays that are mapped from a file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mammoflow.storage.write_errors import CAUSES, WriteError, write_error

FULL = {CAUSES[number][0] for number in (errno.ENOSPC, errno.EDQUOT)}
"""Causes of a `WriteError` that more room removes."""

CANNOT_RESERVE = {errno.EINVAL, errno.ENODEV, errno.ENOSYS, errno.EOPNOTSUPP}
"""Errors of a system or file system that reserves no room for files."""


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Yield a folder in the temporary folder of the system, and remove it afterwards.

    Parameters
    ----------
    prefix
        First part of its name.

    Raises
    ------
    WriteError
        If there is no room for a file in it; the message says that TMPDIR names another place.
    """
    with TemporaryDirectory(prefix=prefix) as name:
        try:
            yield Path(name)
        except WriteError as error:
            if error.cause not in FULL or Path(name) not in error.path.parents:
                raise
            advice = (
                "make room there, or let the environment variable TMPDIR name a folder with more room; then run the "
                "same command again"
            )
            raise WriteError(error.path, error.cause, advice) from error


def mapped_array(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> np.memmap[Any, Any]:
    """Return a new array of zeros that is mapped from a file, which has all of its room on the disk.

    Where a file has no room yet, a full disk ends the process with a signal and without a message.

    Parameters
    ----------
    path
        The file in numpy's format, which is written anew.
    shape, dtype
        Of the array.

    Raises
    ------
    WriteError
        If the disk has no room for the whole array, or the file cannot be written; no file is left.
    """
    try:
        np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)  # and unmapped at once
        _reserve(path)
    except OSError as error:
        problem = write_error(error, path)
        path.unlink(missing_ok=True)
        if problem is None:
            raise
        raise problem from error
    return np.lib.format.open_memmap(path, mode="r+")


def _reserve(path: Path) -> None:
    """Take room on the disk for the whole of a file, where system and file system can do so."""
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno not in CANNOT_RESERVE:
                raise
