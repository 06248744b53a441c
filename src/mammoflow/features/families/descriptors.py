"""What radiologists describe of a lesion, as numbers: shape, margin, contrast, and bright spots.

The words are those of the BI-RADS atlas (shape, margin, calcifications). Each number names its source in the function
that computes it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from mammoflow.config.features import FeatureOptions
from mammoflow.errors import ExcludedCase
from mammoflow.features.extractor import FamilyExtractor, Meaning
from mammoflow.reasons.features import FeatureReason
from mammoflow.reasons.lesions import LesionReason

if TYPE_CHECKING:
    from mammoflow.features.lesion_patch import LesionPatch

GPU = False
PROCESSES = True

BORDER = "profiles across the border"
OUTLINE = "outline of the mask"
MEANINGS = {
    "elongation": ("lesion", "mask", "1 minus minor over major axis; 0 is round", ""),
    "circularity": ("lesion", OUTLINE, "4 pi area / perimeter^2; 1 is a circle", ""),
    "radial_std": ("lesion", OUTLINE, "standard deviation of the radius over its maximum", ""),
    "radial_crossings": ("lesion", OUTLINE, "crossings of the mean radius", ""),
    "acutance": ("border", BORDER, "root mean square slope across the border", "part of full white / mm"),
    "margin_width_mm": ("border", BORDER, "difference of levels over the steepest slope", "mm"),
    "spiculation": ("surround", "gradient", "share of gradients across the radius; 0.5 is no direction", ""),
    "contrast": ("lesion and surround", "film", "difference over sum of the mean levels", ""),
    "contrast_to_noise": ("lesion and surround", "film", "difference of mean levels over deviation outside", ""),
    "breast_share": ("surround", "breast region", "share inside the breast", ""),
    "spots_count": ("lesion", "top-hat", "number of bright spots", ""),
    "spots_size_mm2": ("lesion", "top-hat", "mean area of bright spots", "mm^2"),
    "spots_spread_mm": ("lesion", "top-hat", "root mean square distance of spots from their centroid", "mm"),
}
"""Region, image, statistic and unit of each descriptor."""

PIXELS_OF_SPOT = 2.0
"""Pixels that the widest spot must cover at least; with fewer, a spot cannot be told from noise."""


class Options(FeatureOptions):
    """Descriptors that radiologists use: shape, margin, contrast to the surround, and bright spots."""

    spacing_mm: float = Field(
        0.05,
        gt=0,
        description="Pixel spacing to which the patch is resampled before the computation; coarser films keep their "
        "spacing. Bright spots need the resolution of the film.",
    )
    margin_mm: float = Field(
        4.0, gt=0, description="Length of the radial profiles to each side of the lesion's border, in millimetres."
    )
    surround_mm: float = Field(
        10.0,
        gt=0,
        description="Width of the shell around the lesion's border that is its surround, for contrast and spiculation, "
        "in millimetres.",
    )
    edge_mm: float = Field(
        2.0, ge=0, description="Width in millimetres of the band along the edge of breast and film that is left out."
    )
    minimum_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Smallest share of the surround that must be in the breast; with less, what is measured there is "
        "not defined.",
    )
    smoothing_mm: float = Field(
        0.3, gt=0, description="Standard deviation of the Gaussian behind gradients and profiles, in millimetres."
    )
    spot_mm: float = Field(1.0, gt=0, description="Largest diameter of a bright spot, in millimetres.")
    spot_deviations: float = Field(
        5.0,
        gt=0,
        description="Robust standard deviations by which a bright spot exceeds the lesion and its surround.",
    )

    def check_patch(self, patch_mm: float) -> None:
        """Refuse a surround that is wider than half of the patch."""
        if 2 * max(self.surround_mm, self.margin_mm) > patch_mm:
            raise ValueError(
                f"surround_mm {self.surround_mm} and margin_mm {self.margin_mm} go beyond the patch; expected at most "
                f"half of images.patch_mm {patch_mm}"
            )


def open_family(options: Options, device: str) -> LesionDescriptors:
    """Return the extractor; it computes on the CPU."""
    return LesionDescriptors(options)


class LesionDescriptors(FamilyExtractor):
    """Computes the descriptors of a lesion.

    Parameters
    ----------
    options
        Lengths in millimetres.
    """

    columns = tuple(f"descriptors_{name}" for name in MEANINGS)
    description = ("surround_pixels",)

    def __init__(self, options: Options) -> None:
        self.options = options

    def __call__(self, patch: LesionPatch) -> dict[str, float | str]:
        """Return the descriptors, with `status` and `detail` where some are not defined.

        Raises
        ------
        ExcludedCase
            If the mask is a single line of pixels or less, or the lesion has one grey level only.
        """
        from mammoflow.features.descriptors import margin, shape, spiculation, spots, surround
        from mammoflow.features.lesion_patch import LesionPatch
        from mammoflow.features.outline import outline_of
        from mammoflow.features.regions import border_shell, without_edge
        from mammoflow.imaging.geometry import box_of, crop

        box = box_of(patch.mask)
        if box is None:
            raise ExcludedCase(LesionReason.MASK_EMPTY, "the mask has no pixel; expected a lesion")
        options = self.options
        tissue = without_edge(patch.breast, options.edge_mm / patch.spacing_mm)
        reach = (max(options.surround_mm, options.margin_mm) + 3 * options.smoothing_mm) / patch.spacing_mm + 2
        parts = (crop(grid, box, reach) for grid in (patch.image, patch.mask, patch.breast, tissue))
        image, mask, breast, tissue = parts
        near = LesionPatch(image, mask, breast, patch.spacing_mm)
        outline = outline_of(mask)
        levels = image[mask]
        if outline is None:
            rows, columns = box[2] - box[0], box[3] - box[1]
            raise ExcludedCase(
                FeatureReason.FEATURES_UNDEFINED,
                f"the mask has {rows} x {columns} pixels; expected at least two rows and two columns",
            )
        if levels.min() == levels.max():
            raise ExcludedCase(
                FeatureReason.FEATURES_UNDEFINED,
                f"all {levels.size} pixels of the lesion have grey level {levels.min():g}",
            )
        region = border_shell(mask, tissue, 0.0, options.surround_mm / patch.spacing_mm)
        row: dict[str, float | str] = dict.fromkeys(self.columns, math.nan)
        row["surround_pixels"] = region.count
        found = shape(mask, outline, patch.spacing_mm) | {"breast_share": region.share}
        problems, notes = [], []
        if region.count and region.share >= options.minimum_share:
            found |= surround(near, region.pixels)
            found["spiculation"] = spiculation(near, region.pixels, options.smoothing_mm)
            across, note = margin(near, outline, tissue, options.margin_mm, options.smoothing_mm)
            found |= across
            notes += [note] if note else []
        else:
            problems.append(
                f"surround: {region.share:.1%} of it is in the breast, expected at least {options.minimum_share:.1%}"
            )
        if patch.spacing_mm * PIXELS_OF_SPOT > options.spot_mm:
            notes.append(f"pixels of {patch.spacing_mm:g} mm do not resolve spots of {options.spot_mm:g} mm")
        else:
            measured = spots(near, region.pixels, options.spot_mm, options.spot_deviations)
            if not measured["spots_count"]:
                notes.append("no bright spot, so spots have no size and no spread")
            found |= measured
        row |= {f"descriptors_{name}": value for name, value in found.items()}
        # What a small lesion, one without spots or a coarse film lacks is said. The lesion does not count as excluded.
        if problems or notes:
            row["detail"] = "; ".join([*problems, *notes])
        if problems:
            row["status"] = str(FeatureReason.FEATURES_UNDEFINED)
        return row

    def meaning(self, column: str) -> Meaning:
        """Return what a descriptor is."""
        return Meaning(*MEANINGS[column.removeprefix("descriptors_")])
