"""Settings of synthetic lesions: which model draws them, and how many."""

from __future__ import annotations

from pydantic import Field

from mammoflow.config.base import Settings

GENERATOR = "lesion_diffusion"
"""The architecture that draws lesions, and the recipe that trains it."""


class SyntheticLesionSettings(Settings):
    """The synthetic lesions that a training blends into images in place of copies."""

    model: str = Field(
        "",
        description=f"Model with the architecture {GENERATOR}, one of segmentation.models; empty blends copies of "
        "lesions.",
    )
    number: int = Field(
        256, ge=1, le=100_000, description="Lesions that are drawn before the training; each may be blended often."
    )
    steps: int = Field(20, ge=2, le=1000, description="Steps of the sampling of a lesion (DDIM).")
