"""Pixels of a DICOM file that `open_dicom` accepted: the stored values, and whether they show only two grey levels."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.pixels import pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from mammoflow.errors import ExcludedCase
from mammoflow.formats.codecs import LABEL, register_decoders
from mammoflow.formats.dicom_files import UNDEFINED_LENGTH, chosen_frame
from mammoflow.formats.dicom_header import header_integer, image_shape, is_colour, is_compressed, transfer_syntax
from mammoflow.reasons.files import FileReason

Pixels = npt.NDArray[np.generic]
LEVEL_SAMPLE_ROWS = 256
NEEDED = ["SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation"]
"""Elements without which nobody can tell what the pixels mean (type 1 in DICOM PS3.3 C.7.6.3)."""

register_decoders()


def stored_pixels(dataset: pydicom.Dataset) -> Pixels:
    """Decode the stored values of a dataset that `open_dicom` returned, no look-up table applied.

    Returns
    -------
    numpy.ndarray
        (rows, columns), or (rows, columns, 3) red, green, blue. Bits above Bits Stored are as the file has them.

    Raises
    ------
    ExcludedCase
        UNREADABLE where no decoder can make pixels of the header's size from the data.
    """
    needed = [*NEEDED, "PlanarConfiguration"] if is_colour(dataset) else NEEDED
    lacking = ", ".join(keyword for keyword in needed if keyword not in dataset)
    if lacking:
        raise ExcludedCase(FileReason.UNREADABLE, f"the header lacks {lacking}; without it the pixels have no meaning")
    plugin = LABEL if transfer_syntax(dataset) == RLELossless else ""  # pydicom's own decoder is many times slower
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels: Pixels = np.asarray(
                pixel_array(dataset, index=chosen_frame(dataset), decoding_plugin=plugin, correct_unused_bits=False)
            )
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # each decoder raises its own errors; a panic of Rust code is no Exception
        raise ExcludedCase(FileReason.UNREADABLE, f"the decoder stopped: {type(error).__name__}") from error
    expected = (*image_shape(dataset), 3) if is_colour(dataset) else image_shape(dataset)
    if pixels.shape != expected:
        raise ExcludedCase(FileReason.UNREADABLE, f"decoded shape {pixels.shape}, header says {expected}")
    return pixels


def has_two_levels(dataset: pydicom.Dataset, path: Path) -> bool:
    """Tell whether an image holds at most two grey levels, as an ROI mask does and a picture of tissue does not.

    Of uncompressed pixels, only a few hundred evenly spaced rows are read. Any row of a crop or a film has dozens of
    levels.
    """
    rows, columns = image_shape(dataset)
    bits = header_integer(dataset, "BitsAllocated")
    if bits == 1:
        return True
    offset = _native_offset(dataset)
    if offset is None or bits not in (8, 16) or is_colour(dataset):
        sample = stored_pixels(dataset)
    else:
        shape = (rows, columns)
        stored = np.memmap(path, dtype=np.dtype(f"u{bits // 8}"), mode="r", offset=offset, shape=shape)
        sample = np.asarray(stored[:: max(1, rows // LEVEL_SAMPLE_ROWS)])
    low, high = sample.min(), sample.max()
    return bool(np.all((sample == low) | (sample == high)))


def _native_offset(dataset: pydicom.Dataset) -> int | None:
    """Return the position of uncompressed pixels in the file, or None where they must be decoded."""
    element = dataset.get_item("PixelData", keep_deferred=True)
    deflated = transfer_syntax(dataset) == DeflatedExplicitVRLittleEndian
    if deflated or is_compressed(dataset) or not isinstance(element, RawDataElement):
        return None
    return int(element.value_tell) if element.length != UNDEFINED_LENGTH else None
