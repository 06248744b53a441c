"""Settings of the image stage: canonical images, breast region, lesion patches."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mammoflow.config.base import Settings


class ImagesSettings(Settings):
    """Canonical images for all later stages, made from DICOM, PNG or TIFF."""

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
    voi: Literal["none", "window", "lut"] = Field(
        "none",
        description="Display transformation of DICOM headers: none keeps the full range of grey levels, equal over the "
        "films of a device; window or lut applies a window or a VOI LUT of the header, the other kind where the header "
        "has only that, and none where it has neither.",
    )
    voi_number: int = Field(
        1,
        ge=1,
        description="Which of several windows or VOI LUTs of a header is applied; the first where it has fewer.",
    )
    voi_explanation: str = Field(
        "",
        description="Where not empty, the window or VOI LUT of this explanation, such as NORMAL, HARDER or SOFTER, is "
        "applied; voi_number where the header has none of that name.",
    )
    for_processing: Literal["keep", "exclude"] = Field(
        "keep",
        description="Images for processing, not for presentation: keep flags them, exclude leaves them out.",
    )
    breast_side: Literal["convention", "any"] = Field(
        "convention",
        description="convention expects left breasts on the left of the picture and flags others; any is for studies "
        "whose pictures were turned, for example all to one side.",
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
