"""Reading an ROI mask from a picture file; the content decides which channel holds the mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.imaging.film import is_picture, read_picture
from mammoflow.imaging.geometry import Mask
from mammoflow.imaging.grey import dicom_grey
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.lesions import LesionReason

Levels = npt.NDArray[Any]


def read_roi_mask(path: Path) -> Mask:
    """Read an ROI mask (height, width) from DICOM, PNG, TIFF or JPEG of any depth, from 1 bit to 16, with any channels.

    Each pixel gets one level. It belongs to the lesion where its level is above half of the highest one. So masks of
    {0, 1}, {0, 255} and {0, 65535}, masks with soft edges and masks stored as JPEG are all read. The level is

    - in a grey picture the grey level, in a colour picture the brightest channel, so that a red mask on black is read;
    - in a coloured palette, whose entries are labels and not shades, the same for every colour but the darkest;
    - where the opacity differs between pixels, the level of the opaque ones; transparent pixels are background;
    - where only the opacity differs and all pixels have one colour, the opacity itself.

    A constant opacity is ignored. All components are kept.

    Raises
    ------
    ExcludedCase
        With the reason, where the file cannot be read; MASK_EMPTY where no pixel is set; MASK_NOT_FOUND where the
        lesion cannot be told from the background: colours of equal brightness, or bright transparent next to black
        opaque pixels.
    """
    levels = _picture_levels(path) if is_picture(path) else dicom_grey(open_dicom(path))
    highest = levels.max()
    if highest == 0:
        raise ExcludedCase(LesionReason.MASK_EMPTY, f"{path.name} is black everywhere")
    return np.asarray(levels > highest // 2)


def _picture_levels(path: Path) -> Levels:
    mode, colour, opacity = _decode(path)
    brightness = colour if colour.ndim == 2 else colour.max(axis=2)
    if opacity is not None and opacity.min() < opacity.max():
        if brightness.min() == brightness.max():
            return opacity
        levels = np.where(opacity > opacity.max() // 2, brightness, 0)
        if not levels.any():
            raise ExcludedCase(
                LesionReason.MASK_NOT_FOUND, f"{path.name}: what is opaque is black, what is bright is not"
            )
        return levels
    if brightness.min() == brightness.max() and colour.ndim == 3 and bool(np.any(colour != colour[0, 0])):
        raise ExcludedCase(
            LesionReason.MASK_NOT_FOUND, f"{path.name} has colours of one brightness; none is the background"
        )
    if mode == "P" and colour.ndim == 3 and bool(np.any(colour != colour[..., :1])):
        return np.asarray(brightness > brightness.min(), dtype=np.uint8)
    return brightness


def _decode(path: Path) -> tuple[str, Levels, Levels | None]:
    """Return a picture's mode, its colour (height, width[, 3]), and its opacity (height, width) if it has one."""
    picture = read_picture(path)
    try:
        with Image.open(path) as image:
            mode, bands = image.mode, image.getbands()
            if image.format == "TIFF" and "A" in bands:  # here OpenCV drops the opacity or multiplies by it
                picture = np.asarray(image)
    except Exception as error:  # Pillow's decoders raise errors of many types
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} cannot be decoded: {type(error).__name__}") from error
    channels = 1 if picture.ndim == 2 else picture.shape[2]
    if channels in (2, 4):
        return mode, picture[..., 0] if channels == 2 else picture[..., :3], picture[..., -1]
    return mode, picture, None
