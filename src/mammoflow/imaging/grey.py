"""Stored DICOM values to grey levels that mean the same on every film of a study.

The whole range that the header allows, not the range that one image happens to use, goes linearly to 0 ... 65535. So
no image is stretched for itself, and equal densities stay equal over the films of one scanner or device.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pydicom

from mammoflow.dicomfile import header_integer, header_value, stored_pixels
from mammoflow.errors import ExcludedCase, Reason

Grey = npt.NDArray[np.uint16]
WHITE = 65535


def dicom_grey(dataset: pydicom.Dataset) -> Grey:
    """Decode the pixels of a dataset from `open_dicom` to grey levels (rows, columns), dark is background.

    Applied: Bits Stored, Pixel Representation, Modality LUT or the sign of the Rescale Slope, Pixel Padding (black),
    and the inversion that MONOCHROME1 or an INVERSE Presentation LUT Shape asks for (DICOM PS3.3 C.7.6.3, C.11.1,
    C.11.6). Not applied: VOI windows and VOI LUTs, which are a choice of display made for each image.

    Raises
    ------
    ExcludedCase
        UNREADABLE where pixels cannot be decoded or the header contradicts itself; NOT_GREY for palettes.
    """
    photometric = str(header_value(dataset, "PhotometricInterpretation") or "MONOCHROME2")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ExcludedCase(Reason.NOT_GREY, "photometric interpretation is not MONOCHROME1 or MONOCHROME2")
    stored = stored_pixels(dataset)
    if stored.dtype.itemsize > 2 or stored.dtype.kind not in "ui":
        raise ExcludedCase(Reason.UNREADABLE, f"pixels are {stored.dtype}, expected integers of 8 to 16 bit")
    native = np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("="))
    words = native.view(f"u{stored.dtype.itemsize}")
    table = grey_table(dataset, 8 * words.dtype.itemsize)
    if table.size > 2**8 and np.array_equal(table, np.arange(table.size)):
        return np.asarray(words, dtype=np.uint16)
    return np.asarray(cv2.LUT(words, table))


def grey_table(dataset: pydicom.Dataset, bits_allocated: int) -> Grey:
    """Return the grey level (2 ** bits_allocated,) of every stored word.

    Raises
    ------
    ExcludedCase
        UNREADABLE where Bits Stored, High Bit or the Modality LUT make no sense.
    """
    bits = header_integer(dataset, "BitsStored") or bits_allocated
    high_bit = header_integer(dataset, "HighBit")
    if not 1 <= bits <= bits_allocated or high_bit not in (None, bits - 1):
        raise ExcludedCase(
            Reason.UNREADABLE, f"bits stored {bits} of {bits_allocated}, high bit {high_bit}; expected bits stored - 1"
        )
    signed = header_integer(dataset, "PixelRepresentation") == 1
    values = np.arange(2**bits_allocated, dtype=np.int64) & (2**bits - 1)
    lowest = 0
    if signed:
        lowest = -(2 ** (bits - 1))
        values = np.where(values >= 2 ** (bits - 1), values - 2**bits, values)
    levels, white = _modality(dataset, values, lowest, bits, signed)
    grey = np.rint(levels * (WHITE / white))
    shape = str(header_value(dataset, "PresentationLUTShape") or "")
    if str(header_value(dataset, "PhotometricInterpretation")) == "MONOCHROME1" or shape == "INVERSE":
        grey = WHITE - grey
    padding = header_integer(dataset, "PixelPaddingValue")
    if padding is not None:
        limit = header_integer(dataset, "PixelPaddingRangeLimit")
        first, last = sorted((padding, padding if limit is None else limit))
        # A signed value may stand as an unsigned one in the header, and the other way round.
        modulus = 2**bits_allocated
        grey[(values >= first) & (values <= last) | (limit is None) & ((values - padding) % modulus == 0)] = 0
    return np.asarray(grey, dtype=np.uint16)


def _modality(
    dataset: pydicom.Dataset, values: npt.NDArray[np.int64], lowest: int, bits: int, signed: bool
) -> tuple[npt.NDArray[np.int64], int]:
    """Return levels from 0 on for the values, after the modality LUT or rescale, and the level that is white."""
    sequence = header_value(dataset, "ModalityLUTSequence")
    if sequence is not None:
        entries, first, white = _lookup(sequence, signed)
        return entries[np.clip(values - first, 0, entries.size - 1)], white
    # A line keeps the order of grey levels or turns it round; over the full range that is all it does.
    try:
        slope = float(header_value(dataset, "RescaleSlope") or 1)
    except (TypeError, ValueError):
        slope = 1.0
    levels = values - lowest
    white = 2**bits - 1
    return (white - levels if math.isfinite(slope) and slope < 0 else levels), white


def _lookup(sequence: Any, signed: bool) -> tuple[npt.NDArray[np.int64], int, int]:
    """Return entries, first mapped value and white level of the only item of a modality LUT sequence."""
    try:
        item = sequence[0]
        count, first, bits = (int(number) for number in item.LUTDescriptor)
        data = item.LUTData
        entries = np.frombuffer(data, dtype="<u2") if isinstance(data, bytes) else np.asarray(data)
        entries = entries.astype(np.int64).ravel()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ExcludedCase(Reason.UNREADABLE, f"modality LUT cannot be read: {type(error).__name__}") from error
    count = count or 2**16
    if signed and first >= 2**15:
        first -= 2**16
    if not 8 <= bits <= 16 or entries.size < count:
        raise ExcludedCase(
            Reason.UNREADABLE, f"modality LUT of {entries.size} entries of {bits} bit, descriptor says {count}"
        )
    white = 2**bits - 1
    return np.clip(entries[:count], 0, white), first, white
