"""The transfer syntax of a DICOM file: refused where it is not read, found out where the file does not name one."""

from __future__ import annotations

from pathlib import Path

import pydicom
from pydicom.pixels import get_decoder
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_header import header_value, is_stated, transfer_syntax
from mammoflow.reasons.files import FileReason

GUESSED = "transfer_syntax_was_guessed"
"""Attribute of a dataset whose transfer syntax was found from its elements."""
SYNTAX_OF_ENCODING = {
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}
NAMES = {
    "1.2.840.113619.5.2": "Implicit VR Big Endian of GE (private)",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
}
"""Transfer syntaxes that pydicom's dictionary lacks."""
CONVERT = "convert the file to Explicit VR Little Endian, for example with gdcmconv --raw"


def refuse_unread_syntax(meta: pydicom.Dataset, path: Path) -> None:
    """Refuse a transfer syntax that has no decoder here.

    Parameters
    ----------
    meta
        File meta information; one without a transfer syntax is accepted.
    path
        The file, for its name.

    Raises
    ------
    ExcludedCase
        TRANSFER_SYNTAX, with the name of the syntax where DICOM has one.
    """
    syntax = header_value(meta, "TransferSyntaxUID")
    if not isinstance(syntax, UID):
        if is_stated(meta, "TransferSyntaxUID"):
            detail = f"{path.name} gives a transfer syntax that cannot be read; {CONVERT}"
            raise ExcludedCase(FileReason.TRANSFER_SYNTAX, detail)
        return
    try:
        get_decoder(syntax)
    except NotImplementedError as error:
        detail = f"{path.name} has {_described(syntax)}, which is not read; {CONVERT}"
        raise ExcludedCase(FileReason.TRANSFER_SYNTAX, detail) from error


def guess_syntax(dataset: pydicom.FileDataset) -> None:
    """Where a file names no transfer syntax, enter the one of its elements.

    pydicom tells from the first element whether value representations are explicit and which byte comes first. Whether
    the pixels are compressed cannot be told in this way. `open_dicom` refuses what does not fit the result.
    """
    if transfer_syntax(dataset) is None:
        syntax = SYNTAX_OF_ENCODING.get(dataset.original_encoding, ExplicitVRLittleEndian)
        dataset.file_meta.TransferSyntaxUID = syntax
        setattr(dataset, GUESSED, True)


def is_guessed(dataset: pydicom.Dataset) -> bool:
    """Tell whether the file of a dataset names no transfer syntax."""
    return bool(getattr(dataset, GUESSED, False))


def _described(syntax: UID) -> str:
    """Return words for a transfer syntax; no text of the header, which may hold anything."""
    name = NAMES.get(str(syntax), syntax.name)
    if name == str(syntax):
        return "a private or unknown transfer syntax"
    if str(syntax) in NAMES or syntax.type == "Transfer Syntax":
        return f"the transfer syntax {name}"
    return "the identifier of something else as transfer syntax"
