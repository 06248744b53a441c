"""Reading an ROI mask from a picture file; the content decides which channel holds the mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.imaging.geometry import Mask
from mammoflow.imaging.grey import dicom_grey
from mammoflow.imaging.pictures import decode_picture, is_picture
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
    palette, colour, opacity = _decode(path)
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
    if palette and colour.ndim == 3 and bool(np.any(colour != colour[..., :1])):
        return np.asarray(brightness > brightness.min(), dtype=np.uint8)
    return brightness


def _decode(path: Path) -> tuple[bool, Levels, Levels | None]:
    """Return whether a picture has a palette, its colour (height, width[, 3]), and its opacity if it has one."""
    picture = decode_picture(path)
    pixels = picture.pixels
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels in (2, 4):
        return picture.palette, pixels[..., 0] if channels == 2 else pixels[..., :3], pixels[..., -1]
    return picture.palette, pixels, None
