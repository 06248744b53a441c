"""Settings of the image stage: canonical images, breast region, lesion patches."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from mammoflow.config.base import Settings

NUMBERS = re.compile(r"[0-9]{1,5}(?:,[0-9]{1,5})*")
THRESHOLD = re.compile(r">([0-9]{1,5})")
COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
MASK_VALUE = re.compile(f"{NUMBERS.pattern}|{THRESHOLD.pattern}|{COLOUR.pattern}")
"""Which pixels of a mask file belong to a lesion: numbers such as 1 or 1,2; a threshold >127; a colour #ff0000."""

Modality = Literal["CR", "CT", "DX", "ES", "GM", "MG", "MR", "NM", "OP", "OT", "PT", "SC", "SM", "US", "XC"]
"""Modalities of DICOM (PS3.3 C.7.3.1.1.1) that a study may have."""

MOST_OF_FILM, MOST_OF_PICTURE = 0.5, 0.8


class ImagesSettings(Settings):
    """Canonical images for all later stages, made from DICOM, PNG or TIFF."""

    longest_side_px: int = Field(
        1024,
        ge=128,
        le=8192,
        description="Longest side of the canonical image in pixels; smaller films keep their size.",
    )
    breast_region: Literal["film", "whole"] = Field(
        "film",
        description="film finds the breast on a mammogram. whole uses the whole picture, as in ultrasound, where "
        "tissue fills the picture and its dark parts are tissue too.",
    )
    colour: Literal["refuse", "luminance", "keep"] = Field(
        "refuse",
        description="Pictures whose colours differ, such as endoscopy. refuse excludes them. luminance makes them "
        "grey: 0.299 red + 0.587 green + 0.114 blue. keep makes the same grey image and writes the colours beside it "
        "for models and classifiers with colour: rgb.",
    )
    modalities: list[Modality] = Field(
        default_factory=list,
        description="Modalities of DICOM files that are accepted, such as [CT]; others are excluded with a reason. "
        "An empty list accepts all. Pictures without a DICOM header are always accepted.",
    )
    without_spacing: Literal["exclude", "pixels"] = Field(
        "exclude",
        description="Images without a pixel spacing from table, header or cohort.dataset.spacing_mm. exclude leaves "
        "them out. pixels keeps them with one unit for each pixel: every length in millimetres, in settings and in "
        "tables, is then in pixels of the stored image.",
    )
    voi: Literal["none", "window", "lut", "fixed"] = Field(
        "none",
        description="Display transformation of DICOM headers. none keeps the full range of grey levels, equal for "
        "all films of a device. window or lut applies a window or a VOI LUT of the header. If the header "
        "has only the other kind, that is applied; if it has neither, nothing is applied. fixed applies the "
        "window of window_center and window_width to every DICOM file.",
    )
    window_center: float | None = Field(
        None,
        description="For voi fixed: centre of the window in values after slope and intercept, which are Hounsfield "
        "units in CT.",
    )
    window_width: float | None = Field(
        None, ge=1, description="For voi fixed: width of the window, in the unit of window_center."
    )
    voi_number: int = Field(
        1,
        ge=1,
        description="Which of several windows or VOI LUTs of a header is applied; the first one if it has fewer.",
    )
    voi_explanation: str = Field(
        "",
        description="If not empty, the window or VOI LUT with this explanation, such as NORMAL, HARDER or SOFTER, is "
        "applied; voi_number is used if the header has none of that name.",
    )
    for_processing: Literal["keep", "exclude"] = Field(
        "keep",
        description="Images for processing (not for presentation): keep flags them, exclude leaves them out.",
    )
    breast_side: Literal["convention", "any"] = Field(
        "convention",
        description="convention expects left breasts on the left of the picture and flags others. any is for studies "
        "whose pictures were turned, for example all to one side.",
    )
    mask_value: (
        Annotated[int, Field(ge=0, le=65535)]
        | Annotated[str, StringConstraints(pattern=f"^(?:{MASK_VALUE.pattern})?$")]
    ) = Field(
        "",
        description="Which pixels of a mask file belong to the lesion, if the case table does not say: numbers as in "
        "the file, such as 1 or '1,2'; a threshold, such as '>127'; or a colour, such as '#ff0000'. "
        "Empty uses the brighter of two levels and excludes masks with more levels.",
    )
    largest_mask_share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Largest share of the film that the mask or box of a lesion may cover. Lesions with a larger "
        "share, and masks of the background, are excluded. null means 0.5, or 0.8 if breast_region is "
        "whole; 1 accepts all.",
    )
    scattered_masks: Literal["exclude", "keep"] = Field(
        "exclude",
        description="Masks that consist only of specks spread over the film, as noise is (three or more pieces of at "
        "most 16 pixels, or five of at most 64): exclude leaves them out, keep flags them.",
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

    @model_validator(mode="after")
    def check_window(self) -> Self:
        """Refuse a fixed window without its numbers, and numbers of a window that is not fixed."""
        numbers = (self.window_center, self.window_width)
        if (self.voi == "fixed") != all(number is not None for number in numbers) or numbers.count(None) == 1:
            raise ValueError(
                f"voi is {self.voi!r}, window_center {numbers[0]} and window_width {numbers[1]}; expected both numbers "
                "with voi fixed, and neither with another voi"
            )
        return self

    @property
    def most_of_film(self) -> float:
        """Largest share of the film that a lesion covers."""
        if self.largest_mask_share is not None:
            return self.largest_mask_share
        return MOST_OF_PICTURE if self.breast_region == "whole" else MOST_OF_FILM
