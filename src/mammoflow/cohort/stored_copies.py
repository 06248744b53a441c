"""Films that a study stores twice: whether the two files really hold the same picture."""

from __future__ import annotations

import threading
from pathlib import Path

from mammoflow.cohort.words import DIFFERENT, IDENTICAL
from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.dicom_header import image_shape
from mammoflow.formats.isolated import same_pixels

# Two full films are in memory during a comparison; one comparison at a time, however many threads look for files.
_ONE_AT_A_TIME = threading.Lock()


def compare_copies(first: Path, second: Path) -> str:
    """Compare the stored pixels of two DICOM files.

    Returns
    -------
    str
        `IDENTICAL`, `DIFFERENT`, or the reason why one of them cannot be read.
    """
    try:
        if image_shape(open_dicom(first)) != image_shape(open_dicom(second)):
            return DIFFERENT
        with _ONE_AT_A_TIME:
            same = same_pixels(first, second)
    except ExcludedCase as error:
        return str(error.reason)
    return IDENTICAL if same else DIFFERENT
