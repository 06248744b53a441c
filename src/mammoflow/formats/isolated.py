"""Questions that the cohort stage asks about pixels; compressed pixels are decoded in a separate process.

A decoder is native code, and a damaged file can make it crash. Uncompressed pixels need no decoder, so this process
reads them itself and starts no other one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pydicom

from mammoflow.errors import ExcludedCase, Reason
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.dicom_header import is_compressed
from mammoflow.formats.pixels import has_two_levels, stored_pixels
from mammoflow.reasons.files import FileReason
from mammoflow.run.workers import Lost, map_isolated

Result = TypeVar("Result")
LONGEST_S = 120.0  # for two films; a hundred times the time of large ones
MEMORY_BYTES = 4 * 2**30


@dataclass(frozen=True)
class _Refused:
    """The content of an `ExcludedCase`, sent from one process to another."""

    reason: Reason
    detail: str


def shows_two_levels(dataset: pydicom.Dataset, path: Path) -> bool:
    """Tell whether an image holds at most two grey levels, see `mammoflow.formats.pixels.has_two_levels`.

    Parameters
    ----------
    dataset
        Header that `open_dicom` returned.
    path
        Its file.

    Raises
    ------
    ExcludedCase
        UNREADABLE where the pixels cannot be decoded, or the decoder crashes, hangs or needs too much memory.
    """
    if not is_compressed(dataset):
        return has_two_levels(dataset, path)
    return in_process(_two_levels_of, path)


def same_pixels(first: Path, second: Path) -> bool:
    """Tell whether two DICOM files hold the same stored values; raises as `shows_two_levels` does."""
    if any(is_compressed(open_dicom(path)) for path in (first, second)):
        return in_process(_same_pixels_of, first, second)
    return _same_pixels_of(first, second)


def in_process(function: Callable[..., Result], *paths: Path) -> Result:
    """Call a function of a module on files in a separate process.

    Raises
    ------
    ExcludedCase
        The one that the function raised; UNREADABLE where its process is lost.
    """
    names = ", ".join(path.name for path in paths) or "a file"
    _, answer = next(
        map_isolated(
            partial(_answer, function), [paths], 1, LONGEST_S, MEMORY_BYTES, preload="mammoflow.formats.isolated"
        )
    )
    if isinstance(answer, Lost):
        raise ExcludedCase(FileReason.UNREADABLE, f"decoding {names} {answer.detail}")
    if isinstance(answer, _Refused):
        raise ExcludedCase(answer.reason, answer.detail)
    return answer


def _answer(function: Callable[..., Result], paths: tuple[Path, ...]) -> Result | _Refused:
    try:
        return function(*paths)
    except ExcludedCase as error:
        return _Refused(error.reason, error.detail)


def _two_levels_of(path: Path) -> bool:
    return has_two_levels(open_dicom(path), path)


def _same_pixels_of(first: Path, second: Path) -> bool:
    return np.array_equal(stored_pixels(open_dicom(first)), stored_pixels(open_dicom(second)))
