"""What a DICOM header says about a film, as numbers and words from short lists.

No text, name or date of the header leaves this module, so nothing that identifies a patient does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

import pydicom
from pydicom.uid import HTJ2K, JPEG2000, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from mammoflow.config.images import Modality
from mammoflow.formats.dicom_header import code_string, header_value
from mammoflow.formats.presentation_intent import UNKNOWN, presentation_intent
from mammoflow.formats.side_header import HeaderSide, header_side
from mammoflow.formats.transfer_syntaxes import is_guessed
from mammoflow.imaging.orientation import slice_orientation
from mammoflow.imaging.scanners import known_scanner
from mammoflow.imaging.spacing import HeaderSpacing, header_spacing
from mammoflow.imaging.voi import rescale_is_unusable

ALWAYS_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)
MODALITIES = get_args(Modality)
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
    rescale_unusable
        Whether Rescale Slope or Intercept is no number, or the slope is 0; they count as 1 and 0.
    syntax_guessed
        Whether the file names no transfer syntax, and its elements told it.
    modality
        One of `MODALITIES`; "" for another one, or none.
    orientation
        Plane of a slice: "axial", "coronal", "sagittal" or "oblique"; "" where the header does not say.
    """

    spacing: HeaderSpacing = field(default_factory=HeaderSpacing)
    side: HeaderSide = field(default_factory=HeaderSide)
    intent: str = UNKNOWN
    scanner: str | None = None
    lossy: bool = False
    photometric_conflict: bool = False
    rescale_unusable: bool = False
    syntax_guessed: bool = False
    modality: str = ""
    orientation: str = ""


def read_header(dataset: pydicom.Dataset) -> FilmHeader:
    """Return what the header of a dataset from `open_dicom` says."""
    scanner = known_scanner(dataset)
    modality = code_string(dataset, "Modality")
    pair = (code_string(dataset, "PhotometricInterpretation"), code_string(dataset, "PresentationLUTShape"))
    return FilmHeader(
        header_spacing(dataset),
        header_side(dataset),
        presentation_intent(dataset),
        None if scanner is None else scanner.name,
        _lossy(dataset),
        pair in (("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "IDENTITY")),
        rescale_is_unusable(dataset),
        is_guessed(dataset),
        modality if modality in MODALITIES else "",
        slice_orientation(dataset),
    )


def _lossy(dataset: pydicom.Dataset) -> bool:
    stated = code_string(dataset, "LossyImageCompression")
    syntax = str(header_value(dataset.file_meta, "TransferSyntaxUID"))
    return stated == "01" or syntax in ALWAYS_LOSSY or (syntax in PERHAPS_LOSSY and stated != "00")
