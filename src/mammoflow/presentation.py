"""What an image was made for: to be looked at, or to be processed further; and which of several files to take.

Digital mammography units send an exposure twice: FOR PRESENTATION, processed for the reader's eye, and FOR PROCESSING,
as the detector gave it, often inverted and on another scale. The two are never mixed unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
)

from mammoflow.dicomfile import header_value, open_dicom
from mammoflow.errors import ExcludedCase, Reason

PRESENTATION, UNKNOWN, PROCESSING = "presentation", "unknown", "processing"
PREFERENCE = (PRESENTATION, UNKNOWN, PROCESSING)
INTENT_TYPES = {"FOR PRESENTATION": PRESENTATION, "FOR PROCESSING": PROCESSING}
INTENT_OF_CLASS = {
    DigitalMammographyXRayImageStorageForPresentation: PRESENTATION,
    DigitalMammographyXRayImageStorageForProcessing: PROCESSING,
    DigitalXRayImageStorageForPresentation: PRESENTATION,
    DigitalXRayImageStorageForProcessing: PROCESSING,
}


def presentation_intent(dataset: pydicom.Dataset) -> str:
    """Return "presentation", "processing" or "unknown" for a header.

    Presentation Intent Type decides (DICOM PS3.3 C.8.11.1); where it is missing, the SOP Class does.
    """
    stated = INTENT_TYPES.get(str(header_value(dataset, "PresentationIntentType") or "").strip().upper())
    return stated or INTENT_OF_CLASS.get(header_value(dataset, "SOPClassUID"), UNKNOWN)


def prefer_presentation(candidates: Sequence[Path]) -> Path:
    """Choose between DICOM files of one image: for presentation before undeclared before for processing.

    Among equals the first of the sequence is taken. Files that cannot be used are passed over.

    Parameters
    ----------
    candidates
        The files; at least one.

    Raises
    ------
    ExcludedCase
        That of the first file, where none can be used; MISSING_FILE where there is no candidate.
    """
    intents: list[tuple[int, int]] = []
    first_problem: ExcludedCase | None = None
    for place, path in enumerate(candidates):
        try:
            intents.append((PREFERENCE.index(presentation_intent(open_dicom(path))), place))
        except ExcludedCase as problem:
            first_problem = first_problem or problem
    if intents:
        return candidates[min(intents)[1]]
    raise first_problem or ExcludedCase(Reason.MISSING_FILE, "no file to choose from, expected at least one")
