"""Which regions a family measures, by its settings, and their pixels on the patch of one lesion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mammoflow.config.features import FeatureOptions
from mammoflow.features.regions import Region, border_shell, lesion_region, masked_region, ring_region, without_edge
from mammoflow.imaging.geometry import Mask

if TYPE_CHECKING:
    from mammoflow.features.lesion_patch import LesionPatch


def _check_each_once(values: list[float]) -> list[float]:
    if len(set(values)) < len(values):
        raise ValueError(f"found {values}; expected each once")
    return values


Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]
DifferentLengths = Annotated[list[Length], AfterValidator(_check_each_once)]
Distance = Annotated[float, Field(ge=0, allow_inf_nan=False)]
RegionName = Literal["lesion", "inner", "ring", "mirrored"]

NO_OTHER_BREAST = "mirrored: no film shows the other breast in the same view; expected one of the same patient"


class RegionOptions(FeatureOptions):
    """Regions on and around a lesion, in millimetres."""

    regions: list[RegionName] = Field(
        ["lesion"],
        min_length=1,
        description="Regions to measure: the lesion, the disc around it (inner), the surrounding ring, and the same "
        "place of the other breast (mirrored).",
    )
    inner_mm: float = Field(30.0, gt=0, description="Diameter of the region around the lesion, in millimetres.")
    ring_mm: list[Length] = Field(
        default_factory=lambda: [60.0, 90.0],
        min_length=2,
        max_length=2,
        description="Inner and outer diameter of the surrounding region, in millimetres.",
    )
    shells_mm: list[Annotated[list[Distance], Field(min_length=2, max_length=2)]] = Field(
        default_factory=list,
        description="Shells that follow the lesion's border, each as two distances from it in millimetres, such as "
        "[[0, 5], [5, 10]]; unlike ring_mm they surround a lesion of any size.",
    )
    edge_mm: float = Field(
        2.0,
        ge=0,
        description="Width in millimetres of the band along the edge of breast and film that is left out, because of "
        "skin and film borders.",
    )
    exclude_pectoral: bool = Field(
        True,
        description="Leave the pectoral muscle out of the regions, as if the breast ended there. It is kept if most "
        "of the lesion is on it.",
    )
    minimum_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Smallest share of a region's area that must be in the breast; with less, its features are not "
        "defined.",
    )
    lesion_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Smallest share of the lesion itself that must be in the breast, for the region lesion; 0 accepts "
        "every lesion.",
    )

    @model_validator(mode="after")
    def check_lengths(self) -> Self:
        """Refuse regions that overlap, have no area or are named twice."""
        if not self.inner_mm <= self.ring_mm[0] < self.ring_mm[1]:
            raise ValueError(
                f"found inner_mm {self.inner_mm} and ring_mm {self.ring_mm}; expected diameters that grow: "
                "inner_mm at most ring_mm[0], and ring_mm[0] below ring_mm[1]"
            )
        for low, high in self.shells_mm:
            if low >= high:
                raise ValueError(f"shells_mm has [{low}, {high}]; expected two distances, the smaller one first")
        if len(set(self.region_names())) < len(self.region_names()):
            raise ValueError(f"found the regions {', '.join(self.region_names())}; expected each once")
        return self

    def check_patch(self, patch_mm: float) -> None:
        """Refuse a ring that leaves the patch, and a shell that is wider than half of it."""
        if "ring" in self.regions and self.ring_mm[1] > patch_mm:
            raise ValueError(
                f"ring_mm ends at {self.ring_mm[1]}, expected at most images.patch_mm {patch_mm}; "
                "keep larger patches or take a smaller ring"
            )
        for shell in self.shells_mm:
            if 2 * shell[1] > patch_mm:
                raise ValueError(
                    f"shells_mm has {shell}, expected distances of at most half of images.patch_mm {patch_mm}; "
                    "keep larger patches or take a smaller shell"
                )

    @property
    def without_pectoral(self) -> bool:
        """Whether the pectoral muscle counts as outside the breast; it does not matter for the lesion itself."""
        return self.exclude_pectoral and self.region_names() != ["lesion"]

    @property
    def compares_breasts(self) -> bool:
        """Whether the same place of the other breast is needed."""
        return "mirrored" in self.regions

    def region_names(self) -> list[str]:
        """Return the names of all regions, as columns have them, such as `inner` and `shell5to10`."""
        return [*self.regions, *(shell_name(shell) for shell in self.shells_mm)]


def shell_name(shell: Sequence[float]) -> str:
    """Return the name of a shell from its two distances in millimetres, such as `shell2.5to5`."""
    return f"shell{shell[0]:g}to{shell[1]:g}"


def region_words(name: str) -> str:
    """Return what a region is, from its name in columns."""
    if name.startswith("shell"):
        low, high = name.removeprefix("shell").split("to")
        return f"shell {low} to {high} mm from the lesion's border"
    return {
        "lesion": "lesion",
        "inner": "disc around the lesion, with the lesion",
        "ring": "ring around the lesion",
        "mirrored": "same place of the other breast",
    }[name]


@dataclass(frozen=True)
class Measured:
    """The regions of one lesion.

    Attributes
    ----------
    tissue
        (rows, columns): the breast without the band along its edge.
    regions
        By name, in the order of the settings, without `mirrored`.
    problems
        Why a region has no features, one sentence each.
    defined
        Names of the regions that have pixels, and enough of whose area is in the breast.
    """

    tissue: Mask
    regions: dict[str, Region]
    problems: tuple[str, ...]
    defined: frozenset[str]

    def numbers(self) -> dict[str, float | str]:
        """Return the pixels and the share in the breast of each region, by column."""
        found: dict[str, float | str] = {}
        for name, region in self.regions.items():
            found |= {f"{name}_pixels": region.count, f"{name}_share": region.share}
        return found


def measure_regions(options: RegionOptions, patch: LesionPatch) -> Measured:
    """Return the regions of a lesion on its own film.

    Parameters
    ----------
    options
        Which regions, and their sizes.
    patch
        Mask, breast and spacing.
    """
    tissue = without_edge(patch.breast, options.edge_mm / patch.spacing_mm)
    regions: dict[str, Region] = {
        name: _region(name, options, patch, tissue) for name in options.regions if name != "mirrored"
    }
    for shell in options.shells_mm:
        low, high = (distance / patch.spacing_mm for distance in shell)
        regions[shell_name(shell)] = border_shell(patch.mask, tissue, low, high)
    problems = {
        name: f"{name}: {region.share:.1%} of the region is in the breast, expected at least {least:.1%}"
        for name, region in regions.items()
        if not is_large_enough(region, least := options.lesion_share if name == "lesion" else options.minimum_share)
    }
    return Measured(tissue, regions, tuple(problems.values()), frozenset(regions) - frozenset(problems))


def is_large_enough(region: Region, least_share: float) -> bool:
    """Tell whether a region has pixels and enough of its area is in the breast."""
    return region.count > 0 and region.share >= least_share


def _region(name: RegionName, options: RegionOptions, patch: LesionPatch, tissue: Mask) -> Region:
    inner, low, high = (diameter / patch.spacing_mm for diameter in (options.inner_mm, *options.ring_mm))
    if name == "lesion":
        return masked_region(patch.mask, tissue)
    if name == "inner":
        return lesion_region(patch.mask, tissue, inner)
    return ring_region(patch.mask, tissue, low, high)


def mirrored_regions(
    options: RegionOptions, own: LesionPatch, other: LesionPatch
) -> tuple[tuple[Region, Region], tuple[Mask, Mask]]:
    """Return the region around the lesion and the same region of the other breast, each with its tissue.

    Parameters
    ----------
    options
        Diameter of the region.
    own, other
        The lesion and the same place of the other breast at one spacing, facing the same way, with one mask.
    """
    tissues = [without_edge(patch.breast, options.edge_mm / patch.spacing_mm) for patch in (own, other)]
    regions = [
        lesion_region(patch.mask, tissue, options.inner_mm / patch.spacing_mm)
        for patch, tissue in zip((own, other), tissues, strict=True)
    ]
    return (regions[0], regions[1]), (tissues[0], tissues[1])
