"""Settings that all classifier inputs with a picture share."""

from __future__ import annotations

from pydantic import Field

from mammoflow.config.base import Settings


class PictureOptions(Settings):
    """Size of a square picture, and how training changes it at random."""

    image_px: int = Field(128, ge=32, le=1024, description="Side of the square picture in pixels.")
    rotation_degrees: float = Field(15.0, ge=0, le=180, description="Largest random rotation in training; 0 is none.")
    brightness: float = Field(
        0.15, ge=0, lt=1, description="Largest random change of brightness in training; 0 is none."
    )
