"""Settings of the DICOM objects of a study."""

from __future__ import annotations

from pydantic import Field

from mammoflow.config.base import Settings


class DicomSettings(Settings):
    """DICOM Segmentations and Structured Reports of the study's lesions, a target of its own."""

    classifier: str = Field(
        "",
        description="Classifier whose probability of malignancy is written into the reports, for test lesions only; "
        "one of classification.run. Empty leaves probabilities out.",
    )
