"""Reading an ROI mask from a picture file; the content decides which channel holds the mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.pixels import stored_pixels
from mammoflow.imaging.film_header import read_header
from mammoflow.imaging.geometry import Mask
from mammoflow.imaging.grey import dicom_grey
from mammoflow.imaging.mask_levels import HINT, listed_levels, mask_of_levels, mask_of_value, one_colour
from mammoflow.imaging.pictures import decode_picture, is_picture, stored_values
from mammoflow.reasons.lesions import LesionReason

Levels = npt.NDArray[Any]


def read_roi_mask(path: Path, value: str = "") -> Mask:
    """Read an ROI mask (height, width) from DICOM, PNG, TIFF or JPEG of any depth, from 1 bit to 16, with any channels.

    Each pixel gets one level. With two levels the lesion has the higher one, so masks of {0, 1}, {0, 255} and
    {0, 65535} are all read. Levels between the two are accepted at outlines (soft edges, JPEG); see
    `mammoflow.imaging.mask_levels`. The level is

    - in a grey picture the grey level, in a colour picture the brightest channel, so that a red mask on black is read;
    - in a coloured palette of two colours, whose entries are labels and not shades, that of the brighter colour;
    - where the opacity differs between pixels, the level of the opaque ones; transparent pixels are background;
    - where only the opacity differs and all pixels have one colour, the opacity itself.

    A constant opacity is ignored. All components are kept.

    Parameters
    ----------
    path
        The file.
    value
        Which pixels belong to the lesion, see `mammoflow.config.images.MASK_VALUE`; "" tells it by the levels.

    Raises
    ------
    ExcludedCase
        With the reason, where the file cannot be read; MASK_EMPTY where all pixels are alike; MASK_LEVELS where there
        are more than two levels or colours, or none has the value; MASK_SCATTERED where the file has only traces of
        compression; MASK_NOT_FOUND where the lesion cannot be told from the background: colours of equal brightness, or
        bright transparent next to black opaque pixels.
    """
    if value:
        stored, opaque = _stored_values(path)
        return mask_of_value(stored, value, path.name, opaque)
    if is_picture(path):
        picture = _decode(path)
        levels, lossy = _picture_levels(path, picture), picture.lossy
    else:
        dataset = open_dicom(path)
        picture, levels, lossy = None, dicom_grey(dataset), read_header(dataset).lossy
    try:
        mask = mask_of_levels(levels, path.name, lossy)
    except ExcludedCase as problem:
        if problem.reason != LesionReason.MASK_LEVELS:
            raise
        stored, opaque = _stored_values(path)
        if stored.ndim > 2 or opaque is not None:
            raise
        detail = f"{path.name} has {listed_levels(stored)}; expected two: {HINT}"  # a value is stated as it is stored
        raise ExcludedCase(LesionReason.MASK_LEVELS, detail) from problem
    if picture is not None and picture.colour.ndim == 3 and not one_colour(picture.colour, mask & picture.opaque):
        raise ExcludedCase(LesionReason.MASK_LEVELS, f"{path.name} has several colours; expected one: {HINT}")
    return mask


@dataclass(frozen=True)
class _Picture:
    """A decoded picture: palette or not, colour (height, width[, 3]) and opacity (height, width), if it has one."""

    palette: bool
    colour: Levels
    opacity: Levels | None
    lossy: bool

    @property
    def opaque(self) -> Mask:
        """The pixels (height, width) whose colour can be seen and is not black."""
        bright = self.colour.any(axis=2) if self.colour.ndim == 3 else self.colour > 0
        return np.asarray(bright if self.opacity is None else bright & _is_opaque(self.opacity))


def _stored_values(path: Path) -> tuple[Levels, Mask | None]:
    """Return the values (height, width[, 3]) of a mask file as they are stored, and which pixels are opaque.

    Of a palette the values are the positions in it. Where only the opacity differs and everything is black, the value
    is the opacity. None instead of the opaque pixels means that all are.
    """
    if not is_picture(path):
        stored = stored_pixels(open_dicom(path))
        return stored if stored.dtype.kind == "u" else stored.astype(np.int64), None
    colour, opacity = _without_opacity(stored_values(path))
    if opacity is None or opacity.min() == opacity.max():
        return colour, None
    return (colour, _is_opaque(opacity)) if colour.any() else (opacity, None)


def _is_opaque(opacity: Levels) -> Mask:
    return np.asarray(opacity > opacity.max() // 2)


def _without_opacity(pixels: Levels) -> tuple[Levels, Levels | None]:
    """Return the colour (height, width[, 3]) of decoded pixels and their opacity (height, width), if they have one."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels not in (2, 4):
        return pixels, None
    return pixels[..., 0] if channels == 2 else pixels[..., :3], pixels[..., -1]


def _picture_levels(path: Path, picture: _Picture) -> Levels:
    colour, opacity = picture.colour, picture.opacity
    brightness = colour if colour.ndim == 2 else colour.max(axis=2)
    if opacity is not None and opacity.min() < opacity.max():
        if brightness.min() == brightness.max():
            return opacity
        levels = np.where(_is_opaque(opacity), brightness, 0)
        if not levels.any():
            raise ExcludedCase(
                LesionReason.MASK_NOT_FOUND, f"{path.name}: what is opaque is black, what is bright is not"
            )
        return levels
    if brightness.min() == brightness.max() and colour.ndim == 3 and bool(np.any(colour != colour[0, 0])):
        raise ExcludedCase(
            LesionReason.MASK_NOT_FOUND, f"{path.name} has colours of one brightness; none is the background"
        )
    if picture.palette and colour.ndim == 3 and bool(np.any(colour != colour[..., :1])):
        return _palette_levels(path, brightness)
    return brightness


def _palette_levels(path: Path, brightness: Levels) -> Levels:
    """Return the positions in a coloured palette as levels, the darkest colour as 0: each other one is a label."""
    labels = stored_values(path)
    used = np.flatnonzero(np.bincount(labels.ravel()))
    if used.size > 2:
        raise ExcludedCase(
            LesionReason.MASK_LEVELS, f"{path.name} uses {used.size} colours of its palette; expected two: {HINT}"
        )
    return np.asarray(brightness > brightness.min(), dtype=np.uint8)


def _decode(path: Path) -> _Picture:
    picture = decode_picture(path)
    return _Picture(picture.palette, *_without_opacity(picture.pixels), picture.lossy)
