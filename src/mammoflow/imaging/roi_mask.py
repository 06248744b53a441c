"""A file of a study to the pixels of an ROI mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mammoflow.dicomfile import open_dicom
from mammoflow.errors import ExcludedCase, Reason
from mammoflow.imaging.film import is_picture, read_picture
from mammoflow.imaging.geometry import Mask
from mammoflow.imaging.grey import dicom_grey


def read_roi_mask(path: Path) -> Mask:
    """Read an ROI mask (height, width) from DICOM, PNG, TIFF or JPEG.

    A pixel belongs to the lesion where it is above half of the brightest one, so masks of {0, 1}, {0, 255} and
    {0, 65535} and those that went through JPEG all work; of a coloured mask the brightest channel counts. All
    components are kept.

    Raises
    ------
    ExcludedCase
        With the reason, where the file cannot be read; MASK_EMPTY where no pixel is set.
    """
    if is_picture(path):
        picture = read_picture(path)
        levels = picture if picture.ndim == 2 else picture[..., :3].max(axis=2)
    else:
        levels = dicom_grey(open_dicom(path))
    brightest = levels.max()
    if brightest == 0:
        raise ExcludedCase(Reason.MASK_EMPTY, f"{path.name} is black everywhere")
    return np.asarray(levels > brightest // 2)
