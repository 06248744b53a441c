"""Settings of the feature stages: Gabor texture around the lesion, and radiomics of the lesion."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mammoflow.config.base import StageSettings


class GaborSettings(StageSettings):
    """Gabor texture near the lesion against the tissue around it."""

    mask: Literal["predicted", "reference"] = Field("predicted", description="Whose mask marks the lesion.")
    inner_mm: float = Field(30.0, gt=0, description="Diameter of the region around the lesion, in millimetres.")
    ring_mm: list[float] = Field(
        [60.0, 90.0],
        min_length=2,
        max_length=2,
        description="Inner and outer diameter of the surrounding region, in millimetres.",
    )
    spacing_mm: float = Field(0.2, gt=0, description="Pixel spacing that the patch is brought to before filtering.")
    wavelengths_mm: list[float] = Field(
        [1.0, 2.0, 4.0, 8.0],
        min_length=1,
        description="Wavelengths of the bank in millimetres.",
    )
    orientations: int = Field(6, ge=1, description="Number of orientations, evenly spaced over 180 degrees.")
    bandwidth_octaves: float = Field(1.0, gt=0, description="Half-response spatial frequency bandwidth in octaves.")


class RadiomicsSettings(StageSettings):
    """PyRadiomics features of the lesion."""

    mask: Literal["predicted", "reference"] = Field("predicted", description="Whose mask marks the lesion.")
    classes: list[str] = Field(
        ["shape2D", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"],
        min_length=1,
        description="PyRadiomics feature classes; the 3D `shape` class means nothing on one slice.",
    )
    bin_count: int = Field(32, ge=2, description="Grey levels after discretisation of the region.")
    spacing_mm: float = Field(0.2, gt=0, description="Pixel spacing that the patch is brought to before extraction.")
