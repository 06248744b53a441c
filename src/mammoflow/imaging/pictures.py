"""Decoding PNG, TIFF, JPEG and BMP with their own depth and channels, white bright and upright.

OpenCV decodes. What it decodes wrongly or not at all (BMP; TIFF with opacity, of few bits or of separate planes) is
decoded by Pillow or tifffile. Everything else is refused.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from mammoflow.errors import ExcludedCase
from mammoflow.formats.file_kinds import FileKind, file_kind
from mammoflow.formats.picture_headers import PictureHeader, read_picture_header, upright_tiff
from mammoflow.reasons.files import FileReason
from mammoflow.storage.names import shown_name

Pixels = npt.NDArray[Any]
WHITE = 65535
UNSPECIFIED = 0  # meaning of an extra sample of TIFF
WIDENED_BITS = (2, 4, 10, 12, 14)  # that decoding brings to the range of 8 or 16 bits
TURNS = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}
"""What brings a picture upright, by its orientation in EXIF or TIFF."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes
    ----------
    pixels
        (height, width) or (height, width, channels), uint8 or uint16; red, green, blue, and the last of 2 or 4 channels
        is the opacity.
    palette
        Whether the file holds positions in a table of colours.
    turned
        Whether the file's orientation asked for a turn or a reflection, which was applied.
    lossy
        Whether it was compressed with loss.
    """

    pixels: Pixels
    palette: bool = False
    turned: bool = False
    lossy: bool = False


def is_picture(path: Path) -> bool:
    """Tell by its content whether a file is PNG, TIFF, JPEG or BMP, and not DICOM.

    Raises
    ------
    ExcludedCase
        See `mammoflow.formats.file_kinds.file_kind`.
    """
    return file_kind(path) is not FileKind.DICOM


def read_picture(path: Path) -> Pixels:
    """Return the pixels of a picture; see `decode_picture`."""
    return decode_picture(path).pixels


def decode_picture(path: Path) -> Picture:
    """Decode a PNG, TIFF, JPEG or BMP file.

    Raises
    ------
    ExcludedCase
        TRUNCATED, MULTI_FRAME, NOT_GREY for colours of a print, UNREADABLE where it is damaged, too large, or holds
        anything but unsigned integers of at most 16 bits.
    """
    header = read_picture_header(path)
    pixels = None if header.needs_other_decoder else _by_opencv(path, header)
    if pixels is None:
        pixels = _by_other(path, header)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ExcludedCase(
            FileReason.UNREADABLE, f"{path.name} holds {pixels.dtype}, expected unsigned integers of 8 or 16 bit"
        )
    return Picture(np.ascontiguousarray(pixels), header.palette, header.orientation != 1, header.lossy)


def stored_values(path: Path) -> Pixels:
    """Return the values (height, width[, channels]) of a picture as they are stored, upright.

    Of a palette these are the positions in it, of 1 bit they are 0 and 1, and of 12 bits 0 to 4095; where white is zero
    they are not inverted.

    Raises
    ------
    ExcludedCase
        As `decode_picture`.
    """
    header = read_picture_header(path)
    pixels = decode_picture(path).pixels
    if header.palette or header.one_bit:
        with _open_unturned(path, header) as image:
            stored = np.asarray(image, dtype=np.uint8)
        if header.one_bit and header.white_is_zero:  # Pillow inverts it
            stored = 1 - stored
        return np.asarray(TURNS[header.orientation](stored))
    white = np.iinfo(pixels.dtype).max
    stored = np.asarray(white - pixels) if header.white_is_zero else pixels
    if header.bits in WIDENED_BITS:
        return np.asarray(np.rint(stored * ((2**header.bits - 1) / white)), dtype=pixels.dtype)
    return stored


def _by_opencv(path: Path, header: PictureHeader) -> Pixels | None:
    """Decode with OpenCV; None where it cannot."""
    try:
        if header.kind is FileKind.TIFF and header.orientation != 1:  # OpenCV turns some, and fails for the others
            pixels = cv2.imdecode(np.frombuffer(upright_tiff(path), dtype=np.uint8), cv2.IMREAD_UNCHANGED)
        elif shown_name(path) != str(path):  # OpenCV crashes on a file name that is no UTF-8
            pixels = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
        else:
            pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except Exception:  # cv2.error, or a TIFF whose orientation cannot be found again
        return None
    if pixels is None:
        return None
    if 8 < header.bits < 16 and pixels.dtype == np.uint16:  # OpenCV shifts the value to the highest bits
        top = 2**header.bits - 1
        pixels = np.rint((pixels >> (16 - header.bits)) * (WHITE / top)).astype(np.uint16)
    # OpenCV inverts 8-bit TIFF where white is zero, and does not invert 16-bit TIFF.
    if header.white_is_zero and pixels.dtype == np.uint16:
        pixels = WHITE - pixels
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):  # OpenCV has blue first
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    turned: Pixels = TURNS[header.orientation](np.asarray(pixels))
    return turned


def _by_other(path: Path, header: PictureHeader) -> Pixels:
    """Decode with Pillow, or a TIFF of 16 bits with tifffile."""
    try:
        if header.kind is FileKind.TIFF and header.bits == 16 and header.needs_other_decoder:
            return _by_tifffile(path, header)
        with warnings.catch_warnings(action="ignore"), _open_unturned(path, header) as image:
            named = image.convert("RGBA" if "transparency" in image.info else "RGB") if image.mode == "P" else image
            pixels = np.asarray(named if named.mode != "1" else named.convert("L"))
        if header.white_is_zero and pixels.dtype == np.uint16:
            pixels = WHITE - pixels
        if header.extra == (UNSPECIFIED,) and pixels.ndim == 3 and pixels.shape[2] == 4:
            pixels = pixels[..., :3]
    except ExcludedCase:
        raise
    except Exception as error:  # each decoder raises errors of its own
        raise ExcludedCase(
            FileReason.UNREADABLE,
            f"{path.name} cannot be decoded{header.described}; export it again, best as PNG: {type(error).__name__}",
        ) from error
    return np.asarray(TURNS[header.orientation](pixels))


def _open_unturned(path: Path, header: PictureHeader) -> Image.Image:
    """Open a picture with Pillow as it is stored; Pillow turns a TIFF, and wrongly where height and width change."""
    turned_tiff = header.kind is FileKind.TIFF and header.orientation != 1
    return Image.open(io.BytesIO(upright_tiff(path)) if turned_tiff else path)


def _by_tifffile(path: Path, header: PictureHeader) -> Pixels:
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        pixels = np.asarray(page.asarray())
    if header.separate_planes and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, -1)
    if header.white_is_zero:
        pixels = np.asarray(WHITE - pixels)
    if len(header.extra) > 1:
        raise ValueError("several extra samples")
    if header.extra and header.extra[0] == UNSPECIFIED:
        pixels = pixels[..., 0] if pixels.shape[-1] == 2 else pixels[..., :-1]
    elif header.extra and header.premultiplied and pixels[..., -1].min() < WHITE:
        raise ValueError("colours are multiplied by the opacity")
    return np.asarray(TURNS[header.orientation](pixels))
