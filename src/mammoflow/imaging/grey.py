"""Conversion of stored DICOM values to grey levels that mean the same on every film of a study.

The whole range that the header allows is mapped linearly to 0 ... 65535, not the range that one image happens to use.
So no image is stretched on its own, and equal densities stay equal on all films of one scanner or device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pydicom

from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_files import has_more_pixels
from mammoflow.formats.dicom_header import (
    code_string,
    first_item,
    header_integer,
    header_value,
    is_colour,
    is_compressed,
)
from mammoflow.formats.pixels import stored_pixels
from mammoflow.imaging.pixel_order import order_is_doubtful
from mammoflow.imaging.stored_words import Layout, fit_words, stated_layout
from mammoflow.imaging.voi import Voi, read_lookup_table, rescale
from mammoflow.reasons.files import FileReason

Grey = npt.NDArray[np.uint16]
WHITE = 65535
GREY_TOLERANCE = 2 / 255  # largest difference that lossy compression may leave between the colours of a grey pixel

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of ITU-R BT.601-7."""


def dicom_grey(dataset: pydicom.Dataset, voi: Voi | None = None) -> Grey:
    """Decode the pixels of a dataset from `open_dicom` to grey levels; see `grey_and_conflict`."""
    return grey_and_conflict(dataset, voi)[0]


def grey_and_conflict(dataset: pydicom.Dataset, voi: Voi | None = None, luminance: bool = False) -> tuple[Grey, bool]:
    """Decode the pixels of a dataset from `open_dicom` to grey levels (rows, columns), dark is background.

    It applies Bits Stored and High Bit, Pixel Representation, Modality LUT or the sign of the Rescale Slope, Pixel
    Padding (black), the inversion that MONOCHROME1 or an INVERSE Presentation LUT Shape requires (DICOM PS3.3 C.7.6.3,
    C.11.1, C.11.6), and the VOI transformation. A colour picture is accepted where its channels agree.

    Parameters
    ----------
    dataset
        From `open_dicom`.
    voi
        From `choose_voi`; None keeps the full range.
    luminance
        Whether colours become grey, see `one_channel`.

    Returns
    -------
    tuple
        The grey levels, and whether the header contradicts the pixels: values above Bits Stored, a wrong High Bit, a
        doubtful sign, exchanged bytes or exchanged Rows and Columns, more pixel data than the image needs, a wrong
        Planar Configuration.

    Raises
    ------
    ExcludedCase
        UNREADABLE where pixels cannot be decoded or the header contradicts itself; NOT_GREY for palettes and colours.
    """
    photometric = code_string(dataset, "PhotometricInterpretation") or "MONOCHROME2"
    colour = is_colour(dataset)
    if not colour and photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ExcludedCase(
            FileReason.NOT_GREY, "photometric interpretation is not MONOCHROME1, MONOCHROME2 or a colour"
        )
    stored = stored_pixels(dataset)
    if stored.dtype.itemsize > 2 or stored.dtype.kind not in "ui":
        raise ExcludedCase(FileReason.UNREADABLE, f"pixels are {stored.dtype}, expected integers of 8 to 16 bit")
    planes_conflict = False
    if colour:
        stored, planes_conflict = order_planes(dataset, stored)
        stored = one_channel(stored, luminance)
    native = np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("="))
    words = native.view(f"u{stored.dtype.itemsize}")
    fitted = fit_words(dataset, words)
    scrambled = not is_compressed(dataset) and order_is_doubtful(words)
    conflict = fitted.conflict or scrambled or has_more_pixels(dataset) or planes_conflict
    table = grey_table(dataset, 8 * words.dtype.itemsize, voi, fitted.layout)
    if table.size > 2**8 and np.array_equal(table, np.arange(table.size)):
        return np.asarray(fitted.words, dtype=np.uint16), conflict
    return np.asarray(cv2.LUT(fitted.words, table)), conflict


def order_planes(dataset: pydicom.Dataset, picture: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], bool]:
    """Correct a wrong Planar Configuration of a grey picture in red, green and blue (rows, columns, 3).

    Three equal planes that are read as triples show the picture three times, one below the other, and triples that are
    read as planes show it three times side by side. Neighbours of a smooth picture differ so little that both would
    pass for grey.

    Returns
    -------
    tuple
        The picture, and whether Planar Configuration was wrong.
    """
    plain = not is_compressed(dataset) and code_string(dataset, "PhotometricInterpretation") == "RGB"
    if not plain or picture.min() == picture.max():
        return picture, False
    planar = header_integer(dataset, "PlanarConfiguration") == 1
    if planar and bool(np.all(picture == picture[..., :1])):  # triples may be equal too, where a picture was enlarged
        return picture, False
    if planar:
        other = np.moveaxis(picture, -1, 0).reshape(picture.shape)
    else:
        other = np.moveaxis(picture.reshape(3, *picture.shape[:2]), 0, -1)
    equal = bool(np.all(other == other[..., :1]))
    return (other, True) if equal else (picture, False)


def one_channel(picture: npt.NDArray[Any], luminance: bool = False) -> npt.NDArray[Any]:
    """Return the one grey channel of a picture (height, width, channels); opacity is ignored.

    Parameters
    ----------
    picture
        (height, width, channels), unsigned; red, green, blue.
    luminance
        Whether a picture whose colours differ becomes grey: 0.299 red + 0.587 green + 0.114 blue, rounded (the luma of
        ITU-R BT.601-7, section 2.5.1). Otherwise it is refused.

    Raises
    ------
    ExcludedCase
        NOT_GREY where the colours differ by more than lossy compression explains.
    """
    difference = colour_difference(picture)
    if not difference:
        return np.ascontiguousarray(picture[..., 0])
    if luminance:
        weighted = picture[..., :3].astype(np.float32) @ np.asarray(LUMA, dtype=np.float32)
        return np.asarray(np.rint(weighted).astype(picture.dtype))
    raise ExcludedCase(FileReason.NOT_GREY, f"colours differ by up to {difference:.0f} levels; see images.colour")


def colour_difference(picture: npt.NDArray[Any]) -> float:
    """Return by how many levels red and the other colours of a picture (height, width, channels) differ at most.

    It is 0 for a picture of one or two channels, and where lossy compression explains the difference.
    """
    if picture.shape[2] < 3:
        return 0.0
    first, *others = cv2.split(picture[..., :3])
    largest = max(float(cv2.absdiff(first, other).max()) for other in others)
    return largest if largest > GREY_TOLERANCE * np.iinfo(picture.dtype).max else 0.0


def grey_table(
    dataset: pydicom.Dataset, bits_allocated: int, voi: Voi | None = None, layout: Layout | None = None
) -> Grey:
    """Return the grey level (2 ** bits_allocated,) of every stored word.

    Parameters
    ----------
    dataset
        The header.
    bits_allocated
        Bits of a word.
    voi
        From `choose_voi`; None keeps the full range.
    layout
        Where a word holds its value; None takes what the header states.

    Raises
    ------
    ExcludedCase
        UNREADABLE where Bits Stored, High Bit or a look-up table make no sense.
    """
    values, lowest, bits = _stored_values(layout or stated_layout(dataset, bits_allocated), bits_allocated)
    modality = _modality(dataset, values, lowest, bits)
    if voi is None or voi.function is None:
        grey = np.rint(modality.levels * (WHITE / modality.white))
    else:
        grey = np.rint(voi.function(modality.physical()) * WHITE)
    inverse = code_string(dataset, "PresentationLUTShape") == "INVERSE"
    if code_string(dataset, "PhotometricInterpretation") == "MONOCHROME1" or inverse:
        grey = WHITE - grey
    padding = header_integer(dataset, "PixelPaddingValue")
    if padding is not None:
        limit = header_integer(dataset, "PixelPaddingRangeLimit")
        first, last = sorted((padding, padding if limit is None else limit))
        # The header may give a signed value as an unsigned one, and the other way round.
        modulus = 2**bits_allocated
        grey[(values >= first) & (values <= last) | (limit is None) & ((values - padding) % modulus == 0)] = 0
    return np.asarray(grey, dtype=np.uint16)


@dataclass(frozen=True)
class _Modality:
    """The level of every stored word, the level of white, and the line from stored values to modality values."""

    levels: npt.NDArray[np.int64]
    white: int
    values: npt.NDArray[np.int64]
    slope: float = 1.0
    intercept: float = 0.0

    def physical(self) -> npt.NDArray[np.float64]:
        return np.asarray(self.slope * self.values + self.intercept, dtype=np.float64)


def _stored_values(layout: Layout, bits_allocated: int) -> tuple[npt.NDArray[np.int64], int, int]:
    """Return the value of every word, the lowest value and the bits of a value."""
    bits = layout.bits
    values = np.arange(2**bits_allocated, dtype=np.int64) >> layout.shift & (2**bits - 1)
    if not layout.signed:
        return values, 0, bits
    return np.where(values >= 2 ** (bits - 1), values - 2**bits, values), -(2 ** (bits - 1)), bits


def _modality(dataset: pydicom.Dataset, values: npt.NDArray[np.int64], lowest: int, bits: int) -> _Modality:
    """Apply the modality LUT or rescale."""
    item = first_item(dataset, "ModalityLUTSequence")
    if item is not None or header_value(dataset, "ModalityLUTSequence") is not None:
        table = read_lookup_table(dataset, item, signed=lowest < 0)
        levels = table.apply(values)
        return _Modality(levels, table.white, levels)
    # Over the full range, a line only keeps or reverses the order of the grey levels.
    slope, intercept = rescale(dataset)
    white = 2**bits - 1
    levels = values - lowest
    return _Modality(white - levels if slope < 0 else levels, white, values, slope, intercept)
