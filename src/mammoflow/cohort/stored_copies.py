"""Films that a study stores twice: whether the two files really hold the same picture."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from mammoflow.cohort.words import DIFFERENT, IDENTICAL
from mammoflow.dicomfile import image_shape, open_dicom, stored_pixels
from mammoflow.errors import ExcludedCase

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
        datasets = open_dicom(first), open_dicom(second)
        if image_shape(datasets[0]) != image_shape(datasets[1]):
            return DIFFERENT
        with _ONE_AT_A_TIME:
            same = np.array_equal(stored_pixels(datasets[0]), stored_pixels(datasets[1]))
    except ExcludedCase as error:
        return str(error.reason)
    return IDENTICAL if same else DIFFERENT
