"""Settings that all classifier inputs with a picture share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mammoflow.config.base import Settings

Flips = Literal["none", "horizontal", "both"]
Combine = Literal["mean", "max", "concatenate"]


class PictureOptions(Settings):
    """Size of a square picture, and how training changes it at random."""

    image_px: int = Field(128, ge=32, le=1024, description="Side of the square picture in pixels.")
    rotation_degrees: float = Field(15.0, ge=0, le=180, description="Largest random rotation in training; 0 is none.")
    brightness: float = Field(
        0.15, ge=0, lt=1, description="Largest random change of brightness in training; 0 is none."
    )
    flips: Flips = Field(
        "both", description="Directions in which training flips pictures at random: none, left-right, or both."
    )


class ContextCropOptions(PictureOptions):
    """Options of the input `context_crop`."""

    image_px: int = Field(160, ge=32, le=1024, description="Side of the square picture in pixels.")
    size_mm: float = Field(
        48.0, gt=0, le=300, description="Side of the square in millimetres, the same for all lesions."
    )
    centre: Literal["mask", "box"] = Field(
        "mask",
        description="Centre of the square: that of the box around the lesion's mask (of the annotated box if the "
        "mask is empty or missing), or that of the annotated box, from which prompts are made.",
    )
    mask: Literal["predicted", "reference"] = Field(
        "predicted",
        description="Mask for the centre and the mask channel; reference is an oracle and is marked as such.",
    )
    mask_channel: bool = Field(
        False, description="Show the mask as the third channel, in addition to the grey levels; nothing is masked out."
    )
    standardise: Literal["crop", "tissue", "breast"] = Field(
        "crop",
        description="Which pixels have mean 0 and deviation 1 after standardisation: all of the square (crop), the "
        "part of the square inside the breast (tissue), or the whole breast (breast).",
    )
    rotation_degrees: float = Field(180.0, ge=0, le=180, description="Largest random rotation in training; 0 is none.")
    scale: float = Field(
        0.1, ge=0, le=0.5, description="Largest random change of size in training, as a share; 0 is none."
    )
    shift_mm: float = Field(
        2.0, ge=0, le=30, description="Largest random shift in training in each direction; 0 is none."
    )
    contrast: float = Field(
        0.2, ge=0, lt=1, description="Largest random change of contrast in training, as a share; 0 is none."
    )
    brightness: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Largest random change of brightness in training, in deviations of the grey levels; 0 is none.",
    )

    @property
    def looks_at_mask(self) -> bool:
        """Whether a mask gives the centre or a channel."""
        return self.centre == "mask" or self.mask_channel


class TwoViewOptions(ContextCropOptions):
    """Options of the input `context_two_views`."""

    combine: Combine = Field(
        "mean",
        description="How the features of the two views become those of the lesion: their mean, the larger of each "
        "feature, or one behind the other, the lesion's own view first.",
    )
