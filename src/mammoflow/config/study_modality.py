"""The modality of a study, which chooses the words of its pages."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mammoflow.config.base import Settings

StudyModality = Literal["auto", "mammography", "ultrasound", "endoscopy", "ct", "mr", "other"]


class PageSettings(Settings):
    """Settings of every page about a study."""

    modality: StudyModality = Field(
        "auto",
        description="Modality of the study, for the words of the page; auto takes the modality of the run.",
    )
