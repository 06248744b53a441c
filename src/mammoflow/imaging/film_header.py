"""What a DICOM header says about a film, as numbers and words from short lists.

No text, name or date of the header leaves this module, so nothing that identifies a patient does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pydicom
from pydicom.uid import HTJ2K, JPEG2000, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from mammoflow.formats.dicom_header import header_value
from mammoflow.formats.presentation_intent import UNKNOWN, presentation_intent
from mammoflow.imaging.laterality import HeaderSide, header_side
from mammoflow.imaging.scanners import known_scanner
from mammoflow.imaging.spacing import HeaderSpacing, header_spacing

ALWAYS_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)
PERHAPS_LOSSY = (JPEG2000, HTJ2K)  # these syntaxes allow lossless compression too


@dataclass(frozen=True)
class FilmHeader:
    """What a header says about a film.

    Attributes
    ----------
    spacing
        Pixel spacing.
    side
        Laterality, view and orientation.
    intent
        "presentation", "processing" or "unknown".
    scanner
        Name of the device in `mammoflow.imaging.scanners`; None where it is not in that list.
    lossy
        Whether the pixels have ever been compressed with loss.
    photometric_conflict
        Whether the header combines MONOCHROME2 with the Presentation LUT Shape INVERSE, or MONOCHROME1 with IDENTITY.
    """

    spacing: HeaderSpacing = field(default_factory=HeaderSpacing)
    side: HeaderSide = field(default_factory=HeaderSide)
    intent: str = UNKNOWN
    scanner: str | None = None
    lossy: bool = False
    photometric_conflict: bool = False


def read_header(dataset: pydicom.Dataset) -> FilmHeader:
    """Return what the header of a dataset from `open_dicom` says."""
    scanner = known_scanner(dataset)
    pair = (header_value(dataset, "PhotometricInterpretation"), header_value(dataset, "PresentationLUTShape"))
    return FilmHeader(
        header_spacing(dataset),
        header_side(dataset),
        presentation_intent(dataset),
        None if scanner is None else scanner.name,
        _lossy(dataset),
        pair in (("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "IDENTITY")),
    )


def _lossy(dataset: pydicom.Dataset) -> bool:
    stated = str(header_value(dataset, "LossyImageCompression") or "")
    syntax = str(header_value(dataset.file_meta, "TransferSyntaxUID"))
    return stated == "01" or syntax in ALWAYS_LOSSY or (syntax in PERHAPS_LOSSY and stated != "00")
