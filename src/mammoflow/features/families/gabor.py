"""Gabor texture near a lesion against the texture of the tissue around it."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from mammoflow.config.base import StageSettings
from mammoflow.config.features import FeatureOptions
from mammoflow.features.extractor import FamilyExtractor
from mammoflow.features.regions import Region, continue_breast, lesion_region, ring_region, without_edge
from mammoflow.features.similarity import cosine_similarity
from mammoflow.imaging.geometry import Mask
from mammoflow.reasons.features import FeatureReason

if TYPE_CHECKING:
    from mammoflow.features.gabor_bank import GaborBank
    from mammoflow.features.lesion_patch import LesionPatch

GPU = True
PROCESSES = False

Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]

FULL_SCALE = 65535.0
"""Grey level of full white; magnitudes are parts of it."""
STATISTICS = ("mean", "std")
CACHED_BANKS = 4
"""Spacings whose banks are cached; films of one scanner share one, and DDSM has three."""


class Options(FeatureOptions, StageSettings):
    """Gabor texture near the lesion against the tissue around it."""

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
        description="Width in millimetres of the band along the edge of breast and film that is left out, because of "
        "skin and film borders.",
    )
    exclude_pectoral: bool = Field(
        True,
        description="Leave the pectoral muscle out of both regions, as if the breast ended there. It is kept if most "
        "of the lesion is on it.",
    )
    minimum_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Smallest share of a region's area that must be in the breast; with less, its features are not "
        "defined.",
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
        1.0,
        gt=0,
        description="Width of the envelope along the wave divided by its width across it; below 1 it is elongated.",
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

    def check_patch(self, patch_mm: float) -> None:
        """Refuse a ring that leaves the patch."""
        if self.ring_mm[1] > patch_mm:
            raise ValueError(
                f"ring_mm ends at {self.ring_mm[1]}, expected at most images.patch_mm {patch_mm}; "
                "keep larger patches or take a smaller ring"
            )

    @property
    def without_pectoral(self) -> bool:
        """Whether the pectoral muscle counts as outside the breast."""
        return self.exclude_pectoral


def open_family(options: Options, device: str) -> GaborTexture:
    """Return the extractor; its filters run on the device."""
    return GaborTexture(options, device)


class GaborTexture(FamilyExtractor):
    """Computes the Gabor features of a lesion: the region around it against the ring that surrounds both.

    Parameters
    ----------
    options
        Regions and bank.
    device
        Where the filters run: `cpu` or `cuda`.
    """

    description = ("inner_pixels", "inner_share", "ring_pixels", "ring_share", "wavelengths")

    def __init__(self, options: Options, device: str) -> None:
        from mammoflow.features.gabor_bank import shortest_wavelength_px

        self.options = options
        self.device = device
        angles = [180 * step / options.orientations for step in range(options.orientations)]
        self._waves = [(wavelength, angle) for wavelength in options.wavelengths_mm for angle in angles]
        self._shortest_px = shortest_wavelength_px(options.bandwidth_octaves)
        self._bank = lru_cache(maxsize=CACHED_BANKS)(self._make_bank)
        statistics = [
            self._name(region, statistic, *wave)
            for region in ("inner", "ring")
            for statistic in STATISTICS
            for wave in self._waves
        ]
        self.columns = ["gabor_similarity", "gabor_similarity_mean", "gabor_similarity_pooled", *statistics]

    def __call__(self, patch: LesionPatch) -> dict[str, float | str]:
        """Return all columns, with `status` and `detail` where regions or wavelengths are not defined."""
        tissue = without_edge(patch.breast, self.options.edge_mm / patch.spacing_mm)
        regions = self.regions(patch, tissue)
        row: dict[str, float | str] = dict.fromkeys(self.columns, math.nan)
        problems = []
        for name, region in regions.items():
            row |= {f"{name}_pixels": region.count, f"{name}_share": region.share}
            if not self._is_defined(region):
                problems.append(
                    f"{name}: {region.share:.1%} of the region lies in the breast, "
                    f"expected at least {self.options.minimum_share:.1%}"
                )
        resolved = self._resolved(patch.spacing_mm)
        row["wavelengths"] = int(resolved.sum()) // self.options.orientations
        if not resolved.any():
            problems.append(f"pixels of {patch.spacing_mm:g} mm resolve no wavelength of the bank")
        elif any(self._is_defined(region) for region in regions.values()):
            row |= self._features(patch, tissue, regions, resolved)
        if problems:
            row |= {"status": str(FeatureReason.FEATURES_UNDEFINED), "detail": "; ".join(problems)}
        return row

    def regions(self, patch: LesionPatch, tissue: Mask) -> dict[str, Region]:
        """Return the region around the lesion (`inner`) and the surrounding one (`ring`), both inside the tissue."""
        inner, low, high = (diameter / patch.spacing_mm for diameter in (self.options.inner_mm, *self.options.ring_mm))
        return {
            "inner": lesion_region(patch.mask, tissue, inner),
            "ring": ring_region(patch.mask, tissue, low, high),
        }

    def _is_defined(self, region: Region) -> bool:
        return region.count > 0 and region.share >= self.options.minimum_share

    def _resolved(self, spacing_mm: float) -> Mask:
        """Return which filters the pixels are fine enough for."""
        shortest = self._shortest_px * spacing_mm
        return np.array([wavelength >= shortest * (1 - 1e-9) for wavelength, _ in self._waves])

    def _make_bank(self, spacing_mm: float) -> GaborBank:
        import torch

        from mammoflow.features.gabor_bank import GaborBank, GaborFilter

        bandwidth, aspect = self.options.bandwidth_octaves, self.options.aspect_ratio
        filters = [
            GaborFilter(wavelength / spacing_mm, math.radians(angle), bandwidth, aspect)
            for (wavelength, angle), fine in zip(self._waves, self._resolved(spacing_mm), strict=True)
            if fine
        ]
        return GaborBank(filters, torch.device(self.device))

    def _features(
        self, patch: LesionPatch, tissue: Mask, regions: dict[str, Region], resolved: Mask
    ) -> dict[str, float | str]:
        image = continue_breast(patch.image / np.float32(FULL_SCALE), tissue, patch.spacing_mm)
        pixels = [region.pixels & self._is_defined(region) for region in regions.values()]
        values = np.full((len(regions), len(self._waves), len(STATISTICS)), np.nan)
        values[:, resolved] = self._bank(patch.spacing_mm).statistics(image, pixels)
        inner, ring = values
        pooled_inner, pooled_ring = (self._pool(vectors) for vectors in (inner, ring))
        row: dict[str, float | str] = {
            "gabor_similarity": cosine_similarity(inner.ravel(), ring.ravel()),
            "gabor_similarity_mean": cosine_similarity(inner[:, 0], ring[:, 0]),
            "gabor_similarity_pooled": cosine_similarity(pooled_inner.ravel(), pooled_ring.ravel()),
        }
        for region, vector in zip(regions, values, strict=True):
            for position, statistic in enumerate(STATISTICS):
                for wave, value in zip(self._waves, vector[:, position], strict=True):
                    row[self._name(region, statistic, *wave)] = float(value)
        return row

    def _pool(self, vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Average (filters, statistics) over each wavelength's orientations: the same however the film is turned."""
        return np.asarray(vector.reshape(-1, self.options.orientations, len(STATISTICS)).mean(axis=1))

    @staticmethod
    def _name(region: str, statistic: str, wavelength: float, angle: float) -> str:
        return f"gabor_{region}_{statistic}_w{float(wavelength)}_o{round(angle):03d}"
