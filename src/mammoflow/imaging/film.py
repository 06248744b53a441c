"""Any picture file of a study, and a film's file to its grey levels.

What a file is, its first bytes say, not its name: PNG, TIFF and JPEG by their signatures, anything else as DICOM.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from mammoflow.dicomfile import LARGEST_PIXELS, open_dicom
from mammoflow.errors import ExcludedCase, Reason
from mammoflow.imaging.grey import WHITE, Grey, dicom_grey
from mammoflow.imaging.spacing import Spacing, header_spacing

SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"II*\x00", b"MM\x00*", b"\xff\xd8\xff")
GREY_TOLERANCE = 2 / 255  # what lossy compression may put between the colours of a grey pixel
TIFF_PHOTOMETRIC = 262
WHITE_IS_ZERO = 0
JPEG_TAIL_BYTES = 65536


@dataclass(frozen=True)
class Film:
    """A film as its file has it.

    Attributes
    ----------
    pixels
        (height, width) uint16, dark is background.
    spacing
        What the header says, or None.
    """

    pixels: Grey
    spacing: Spacing | None


def read_film(path: Path) -> Film:
    """Read a film from DICOM, PNG, TIFF or JPEG.

    Raises
    ------
    ExcludedCase
        With the reason, where the file is missing, broken, hostile, not grey or not a single image.
    """
    if is_picture(path):
        return Film(_to_16_bit(_grey_channel(read_picture(path), path)), None)
    dataset = open_dicom(path)
    return Film(dicom_grey(dataset), header_spacing(dataset))


def is_picture(path: Path) -> bool:
    """Tell by its first bytes whether a file is PNG, TIFF or JPEG; raise ExcludedCase where it cannot be opened."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ExcludedCase(Reason.MISSING_FILE, f"{path.name} cannot be opened: {type(error).__name__}") from error
    return start.startswith(SIGNATURES)


def read_picture(path: Path) -> npt.NDArray[Any]:
    """Decode a PNG, TIFF or JPEG file with its own depth and channels, white bright."""
    inverted = check_picture(path)
    try:
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ExcludedCase(Reason.UNREADABLE, f"{path.name} cannot be decoded") from error
    if picture is None:
        raise ExcludedCase(Reason.UNREADABLE, f"{path.name} cannot be decoded")
    if picture.dtype not in (np.uint8, np.uint16):
        raise ExcludedCase(Reason.UNREADABLE, f"{path.name} holds {picture.dtype}, expected 8 or 16 bit")
    # OpenCV turns 8-bit TIFF round where white is zero, and leaves 16-bit TIFF as it is.
    return WHITE - picture if inverted and picture.dtype == np.uint16 else np.asarray(picture)


def check_picture(path: Path) -> bool:
    """Look at size, frames and end of a picture before decoding it; say whether zero means white in it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as header:
                columns, rows = header.size
                frames = getattr(header, "n_frames", 1)
                kind = header.format
                tags = getattr(header, "tag_v2", {})
                inverted = kind == "TIFF" and tags.get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO
    except Image.DecompressionBombError as error:
        raise ExcludedCase(Reason.UNREADABLE, f"{path.name} claims more than {LARGEST_PIXELS} pixels") from error
    except Exception as error:  # each format has errors of its own for damaged headers
        raise ExcludedCase(Reason.UNREADABLE, f"{path.name}: {type(error).__name__} in its header") from error
    if rows * columns > LARGEST_PIXELS:
        raise ExcludedCase(Reason.UNREADABLE, f"{path.name} claims {rows} x {columns} pixels")
    if frames > 1:
        raise ExcludedCase(Reason.MULTI_FRAME, f"{path.name} has {frames} frames, expected 1")
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - JPEG_TAIL_BYTES))
        tail = file.read()
    end = {"PNG": b"IEND", "JPEG": b"\xff\xd9"}.get(str(kind), b"")
    if end not in tail:
        raise ExcludedCase(Reason.TRUNCATED, f"{path.name} ends before its end-of-image marker")
    return bool(inverted)


def _grey_channel(picture: npt.NDArray[Any], path: Path) -> npt.NDArray[Any]:
    """Return the one grey channel of a picture (height, width[, channels]); opacity is ignored."""
    if picture.ndim == 2:
        return picture
    channels = cv2.split(picture[..., :3] if picture.shape[2] > 2 else picture[..., :1])
    tolerance = GREY_TOLERANCE * np.iinfo(picture.dtype).max
    for other in channels[1:]:
        difference = float(cv2.absdiff(channels[0], other).max())
        if difference > tolerance:
            raise ExcludedCase(Reason.NOT_GREY, f"colours of {path.name} differ by up to {difference:.0f} levels")
    return np.asarray(channels[0])


def _to_16_bit(grey: npt.NDArray[Any]) -> Grey:
    """Bring 8 bit to the full range (times 257); 16 bit stay as they are."""
    if grey.dtype == np.uint16:
        return grey
    return np.asarray(grey.astype(np.uint16) * np.uint16(257))
