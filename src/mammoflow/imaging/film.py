"""Reading the picture files of a study, and the grey levels of a film.

The first bytes of a file decide its format, not its name: PNG, TIFF and JPEG have signatures, anything else is DICOM.
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

from mammoflow.config.images import ImagesSettings
from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_files import LARGEST_PIXELS, open_dicom
from mammoflow.formats.presentation_intent import PROCESSING
from mammoflow.imaging.film_header import FilmHeader, read_header
from mammoflow.imaging.grey import WHITE, Grey, dicom_grey, one_channel
from mammoflow.imaging.spacing import Spacing
from mammoflow.imaging.voi import choose_voi
from mammoflow.reasons.files import FileReason

JPEG_SIGNATURE = b"\xff\xd8\xff"
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"II*\x00", b"MM\x00*", JPEG_SIGNATURE)
TIFF_PHOTOMETRIC = 262
WHITE_IS_ZERO = 0
JPEG_TAIL_BYTES = 65536


@dataclass(frozen=True)
class Film:
    """A film as it is stored in its file.

    Attributes
    ----------
    pixels
        (height, width) uint16, dark is background.
    header
        What its DICOM header says; a picture file has none.
    voi
        The VOI transformation in its grey levels, see `mammoflow.imaging.voi.Voi`.
    """

    pixels: Grey
    header: FilmHeader
    voi: str = "none"

    @property
    def spacing(self) -> Spacing | None:
        """Pixel spacing of the header, or None."""
        return self.header.spacing.spacing


def read_film(path: Path, settings: ImagesSettings | None = None) -> Film:
    """Read a film from DICOM, PNG, TIFF or JPEG.

    Parameters
    ----------
    path
        The file.
    settings
        Settings of the VOI transformation and of images for processing; None takes the defaults.

    Raises
    ------
    ExcludedCase
        With the reason, where the file is missing, broken, hostile, not grey, not a single image or, where the settings
        say so, for processing.
    """
    settings = settings or ImagesSettings()
    if is_picture(path):
        picture = read_picture(path)
        grey = picture if picture.ndim == 2 else one_channel(picture)
        return Film(_to_16_bit(grey), FilmHeader(lossy=_is_jpeg(path)))
    dataset = open_dicom(path)
    header = read_header(dataset)
    if header.intent == PROCESSING and settings.for_processing == "exclude":
        raise ExcludedCase(
            FileReason.FOR_PROCESSING, f"{path.name} is for processing, not for presentation; see images.for_processing"
        )
    voi = choose_voi(dataset, settings)
    return Film(dicom_grey(dataset, voi), header, voi.label)


def is_picture(path: Path) -> bool:
    """Tell by its first bytes whether a file is PNG, TIFF or JPEG; raise ExcludedCase where it cannot be opened."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ExcludedCase(FileReason.MISSING_FILE, f"{path.name} cannot be opened: {type(error).__name__}") from error
    return start.startswith(SIGNATURES)


def _is_jpeg(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(JPEG_SIGNATURE)) == JPEG_SIGNATURE


def read_picture(path: Path) -> npt.NDArray[Any]:
    """Decode a PNG, TIFF or JPEG file with its own depth and channels, white bright."""
    inverted = check_picture(path)
    try:
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} cannot be decoded") from error
    if picture is None:
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} cannot be decoded")
    if picture.dtype not in (np.uint8, np.uint16):
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} holds {picture.dtype}, expected 8 or 16 bit")
    # OpenCV inverts 8-bit TIFF where white is zero, and does not invert 16-bit TIFF.
    return WHITE - picture if inverted and picture.dtype == np.uint16 else np.asarray(picture)


def check_picture(path: Path) -> bool:
    """Check size, frames and end of a picture before it is decoded; tell whether zero means white in it."""
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
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} claims more than {LARGEST_PIXELS} pixels") from error
    except Exception as error:  # each format raises its own errors for damaged headers
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name}: {type(error).__name__} in its header") from error
    if rows * columns > LARGEST_PIXELS:
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} claims {rows} x {columns} pixels")
    if frames > 1:
        raise ExcludedCase(FileReason.MULTI_FRAME, f"{path.name} has {frames} frames, expected 1")
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - JPEG_TAIL_BYTES))
        tail = file.read()
    end = {"PNG": b"IEND", "JPEG": b"\xff\xd9"}.get(str(kind), b"")
    if end not in tail:
        raise ExcludedCase(FileReason.TRUNCATED, f"{path.name} ends before its end-of-image marker")
    return bool(inverted)


def _to_16_bit(grey: npt.NDArray[Any]) -> Grey:
    """Bring 8 bit to the full range (times 257); 16 bit stay as they are."""
    if grey.dtype == np.uint16:
        return grey
    return np.asarray(grey.astype(np.uint16) * np.uint16(257))
