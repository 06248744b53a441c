"""Settings of the stability of features: how lesions are perturbed, and how many."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mammoflow.config.base import Seed, Settings


class StabilitySettings(Settings):
    """How stable each feature is if box, mask, orientation or pixel spacing of the lesion change a little."""

    lesions: int = Field(
        150,
        ge=5,
        description="Training lesions that are perturbed, each of another patient, drawn by the seed; all patients if "
        "there are fewer.",
    )
    seed: Seed = Field(0, description="Seed of the draw of lesions and boxes.")
    box_draws: int = Field(
        2,
        ge=0,
        le=20,
        description="Jittered boxes for each lesion, which the default segmentation model segments again; 0 for none.",
    )
    box_jitter_mm: float = Field(2.0, gt=0, description="Largest shift of each side of a jittered box, in millimetres.")
    margins_mm: list[Annotated[float, Field(ge=0)]] = Field(
        default_factory=lambda: [0.0, 5.0],
        description="Margins of boxes that are segmented again and compared with prompts.default_margin_mm.",
    )
    mask_pixels: int = Field(
        1, ge=0, le=10, description="Pixels by which masks grow and shrink, at the spacing of the feature; 0 for none."
    )
    rotations_deg: list[Annotated[float, Field(ge=-45, le=45)]] = Field(
        default_factory=lambda: [-5.0, 5.0], description="Rotations of film and mask about the lesion, in degrees."
    )
    spacing_share: float = Field(
        0.09,
        ge=0,
        lt=0.5,
        description="Share by which the pixel spacing is taken too large and too small; 0.09 is half the difference "
        "between the finest and the coarsest scanner of CBIS-DDSM's digitised films. 0 for none.",
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Coverage of the intervals.")
