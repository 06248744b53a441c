"""Values of a DICOM header that may be damaged: what cannot be read counts as absent."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pydicom
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRBigEndian

from mammoflow.errors import ExcludedCase
from mammoflow.reasons.files import FileReason

COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
PHOTOMETRIC_INTERPRETATIONS = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", *COLOURS)
FUNCTIONAL_GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")

# pydicom logs values of the header. They identify patients, so no log of this project may hold them.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


def is_colour(dataset: pydicom.Dataset) -> bool:
    """Tell whether the header declares red, green and blue, or luminance and two colour differences."""
    return code_string(dataset, "PhotometricInterpretation") in COLOURS


def is_big_endian(dataset: pydicom.Dataset) -> bool:
    """Tell whether binary values of the header have their high byte first."""
    return bool(transfer_syntax(dataset) == ExplicitVRBigEndian)


def is_compressed(dataset: pydicom.Dataset) -> bool:
    """Tell whether the pixels are encapsulated and need a decoder."""
    syntax = transfer_syntax(dataset)
    return bool(syntax is not None and syntax.is_transfer_syntax and syntax.is_encapsulated)


def transfer_syntax(dataset: pydicom.Dataset) -> UID | None:
    """Return how the file is encoded, or None where its file header does not say so."""
    syntax = header_value(getattr(dataset, "file_meta", pydicom.Dataset()), "TransferSyntaxUID")
    return syntax if isinstance(syntax, UID) else None


def image_shape(dataset: pydicom.Dataset) -> tuple[int, int]:
    """Return (rows, columns) of the image.

    Raises
    ------
    ExcludedCase
        UNREADABLE where the header gives no usable size.
    """
    rows, columns = header_integer(dataset, "Rows"), header_integer(dataset, "Columns")
    if not rows or not columns or rows < 0 or columns < 0:
        raise ExcludedCase(FileReason.UNREADABLE, f"header gives rows {rows} and columns {columns}")
    return rows, columns


def header_value(dataset: pydicom.Dataset, keyword: str) -> Any:
    """Return an element's value, or None where it is absent, empty or cannot be converted."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = dataset.get(keyword)
            # The text of a sequence needs every element inside it, damaged ones too. So it never counts as empty.
            empty = value is None or (not isinstance(value, Sequence) and str(value) == "")
    except Exception:  # pydicom raises almost anything on damaged values
        return None
    return None if empty else value


def code_string(dataset: pydicom.Dataset | None, keyword: str) -> str:
    """Return a code string in capitals and without blanks at its ends, as DICOM writes it; "" where there is none."""
    value = None if dataset is None else header_value(dataset, keyword)
    return str(value).strip("\x00 \t\r\n").upper() if isinstance(value, str) else ""


def is_stated(dataset: pydicom.Dataset | None, keyword: str) -> bool:
    """Tell whether an element has a value, even one that cannot be converted."""
    if dataset is None or keyword not in dataset:
        return False
    try:
        element = dataset.get_item(keyword)
        value = None if element is None else element.value
    except Exception:  # pydicom raises almost anything on damaged values
        return True
    return bool(value.strip(b"\x00 ") if isinstance(value, bytes) else value is not None and str(value).strip())


def frame_states(dataset: pydicom.Dataset, keyword: str, group: str) -> bool:
    """Tell whether an element has a value in the header itself or in a functional group; see `frame_value`."""
    items = [first_item(first_item(dataset, groups), group) for groups in FUNCTIONAL_GROUPS]
    return any(is_stated(item, keyword) for item in (dataset, *items))


def header_integer(dataset: pydicom.Dataset, keyword: str) -> int | None:
    """Return an element's value as an integer, or None where it is not one."""
    try:
        return int(header_value(dataset, keyword))
    except (TypeError, ValueError, OverflowError):
        return None


def frame_value(dataset: pydicom.Dataset, keyword: str, group: str) -> Any:
    """Return an element's value from the header itself or, in an enhanced object, from a functional group of its frame.

    Parameters
    ----------
    dataset
        Of one frame.
    keyword
        The element.
    group
        Keyword of the sequence that holds the element within a functional group, such as "PixelMeasuresSequence".
    """
    value = header_value(dataset, keyword)
    for groups in FUNCTIONAL_GROUPS:
        item = first_item(first_item(dataset, groups), group) if value is None else None
        value = header_value(item, keyword) if item is not None else value
    return value


def first_item(dataset: pydicom.Dataset | None, keyword: str) -> pydicom.Dataset | None:
    """Return the first item of a sequence, or None where there is none."""
    if dataset is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            item = dataset[keyword].value[0] if keyword in dataset else None
    except Exception:  # pydicom raises almost anything on damaged values
        return None
    return item if isinstance(item, pydicom.Dataset) else None
