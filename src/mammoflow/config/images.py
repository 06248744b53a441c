"""Settings of the image stage: canonical images, breast region, lesion patches."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mammoflow.config.base import Settings


class ImagesSettings(Settings):
    """DICOM, PNG or TIFF to canonical images that all later stages read."""

    longest_side_px: int = Field(
        1024,
        ge=128,
        le=8192,
        description="Longest side of the canonical image in pixels; smaller films are kept as they are.",
    )
    breast_region: Literal["film", "whole"] = Field(
        "film",
        description="film finds the breast on a mammogram; whole takes the whole picture, as in ultrasound, where "
        "tissue fills the picture and dark parts of it are tissue too.",
    )
    patch_mm: float = Field(
        100.0,
        ge=10,
        description="Side in millimetres of the square patch that is kept around each lesion; a lesion's patch is "
        "always at least 30 mm wider than its box.",
    )
    patch_spacing_mm: float | None = Field(
        None,
        gt=0,
        description="Pixel spacing of the lesion patches; null keeps the resolution of the film, "
        "and no patch is finer.",
    )
