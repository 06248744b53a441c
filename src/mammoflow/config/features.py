"""Settings of the feature stages: Gabor texture around the lesion, and radiomics of the lesion."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from mammoflow.config.base import StageSettings

Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]
RadiomicsClass = Literal["shape2D", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"]


class GaborSettings(StageSettings):
    """Gabor texture near the lesion against the tissue around it."""

    mask: Literal["predicted", "reference"] = Field("predicted", description="Whose mask marks the lesion.")
    inner_mm: float = Field(30.0, gt=0, description="Diameter of the region around the lesion, in millimetres.")
    ring_mm: list[Length] = Field(
        default_factory=lambda: [60.0, 90.0],
        min_length=2,
        max_length=2,
        description="Inner and outer diameter of the surrounding region, in millimetres.",
    )
    edge_mm: float = Field(
        2.0,
        ge=0,
        description="Band along the edge of breast and film, in millimetres, that is left out: skin and film borders.",
    )
    exclude_pectoral: bool = Field(
        True,
        description="Leave the pectoral muscle out of both regions, as if the breast ended there; "
        "it stays where most of the lesion lies on it.",
    )
    minimum_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Smallest part of a region's area that must lie in the breast; below it the region is undefined.",
    )
    spacing_mm: float = Field(
        0.2,
        gt=0,
        description="Pixel spacing that the patch is brought to before filtering; coarser films are kept as they are.",
    )
    wavelengths_mm: list[Length] = Field(
        default_factory=lambda: [1.0, 2.0, 4.0, 8.0],
        min_length=1,
        description="Wavelengths of the bank in millimetres.",
    )
    orientations: int = Field(6, ge=1, le=180, description="Number of orientations, evenly spaced over 180 degrees.")
    bandwidth_octaves: float = Field(
        1.0, gt=0, le=4, description="Half-response spatial frequency bandwidth in octaves."
    )
    aspect_ratio: float = Field(
        1.0, gt=0, description="Width of the envelope along the wave over its width across it; below 1 is elongated."
    )

    @model_validator(mode="after")
    def check_lengths(self) -> Self:
        """Refuse regions that overlap or have no area, and wavelengths that are given twice."""
        if not self.inner_mm <= self.ring_mm[0] < self.ring_mm[1]:
            raise ValueError(
                f"found inner_mm {self.inner_mm} and ring_mm {self.ring_mm}; expected diameters that grow: "
                "inner_mm at most ring_mm[0], and ring_mm[0] below ring_mm[1]"
            )
        if len(set(self.wavelengths_mm)) < len(self.wavelengths_mm):
            raise ValueError(f"found wavelengths_mm {self.wavelengths_mm}; expected each wavelength once")
        return self


class RadiomicsSettings(StageSettings):
    """PyRadiomics features of the lesion."""

    mask: Literal["predicted", "reference"] = Field("predicted", description="Whose mask marks the lesion.")
    classes: list[RadiomicsClass] = Field(
        default_factory=lambda: list(get_args(RadiomicsClass)),
        min_length=1,
        description="PyRadiomics feature classes; the 3D `shape` class means nothing on one slice.",
    )
    bin_count: int = Field(32, ge=2, description="Grey levels after discretisation of the region.")
    spacing_mm: float = Field(
        0.2,
        gt=0,
        description="Pixel spacing that the patch is brought to before extraction; coarser films are kept as they are.",
    )
