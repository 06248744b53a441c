"""The presentation intent of an image, for viewing or for further processing, and which of the two is preferred.

Digital mammography units send an exposure twice: FOR PRESENTATION is processed for viewing; FOR PROCESSING holds the
detector's values, often inverted and on another scale. A study that mixes the two is flagged.
"""

from __future__ import annotations

import pydicom
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
)

from mammoflow.formats.dicom_header import header_value

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
    return stated or INTENT_OF_CLASS.get(str(header_value(dataset, "SOPClassUID")), UNKNOWN)
