"""Real pixels in DICOM files: the full films at hand are pictures, the headers come from the real crops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest


@pytest.fixture(scope="session")
def wrap_in_real_header(real_data: Path) -> Callable[[Path, Path], None]:
    """Write a picture of the real set as a 16-bit DICOM file under the header of a real crop."""
    crops = sorted((real_data / "cbis-ddsm" / "dicom").rglob("*.dcm"))
    if not crops:
        pytest.skip(f"no real DICOM crop under {real_data}")

    def wrap(picture: Path, target: Path) -> None:
        grey = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE).astype(np.uint16) * np.uint16(257)
        dataset = pydicom.dcmread(crops[0])
        dataset.Rows, dataset.Columns = grey.shape
        dataset.SmallestImagePixelValue, dataset.LargestImagePixelValue = int(grey.min()), int(grey.max())
        dataset.PixelData = grey.tobytes()
        target.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(target)

    return wrap
