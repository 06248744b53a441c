"""Gabor texture near a lesion against the texture of the tissue around it."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from mammoflow.config.base import StageSettings
from mammoflow.features.extractor import FamilyExtractor, Meaning
from mammoflow.features.measured import (
    NO_OTHER_BREAST,
    Length,
    Measured,
    RegionName,
    RegionOptions,
    is_large_enough,
    measure_regions,
    mirrored_regions,
    region_words,
)
from mammoflow.features.regions import continue_breast
from mammoflow.features.similarity import cosine_similarity
from mammoflow.imaging.geometry import Mask
from mammoflow.reasons.features import FeatureReason

if TYPE_CHECKING:
    from mammoflow.features.gabor_bank import GaborBank
    from mammoflow.features.lesion_patch import LesionPatch

GPU = True
PROCESSES = False

FULL_SCALE = 65535.0
"""Grey level of full white; magnitudes are parts of it."""
COMPARED = ("mean", "std")
"""Statistics whose vectors are compared."""
POOLED = "pooled"
CACHED_BANKS = 4
"""Spacings whose banks are cached; films of one scanner share one, and DDSM has three."""

WORDS = {"mean": "mean", "std": "standard deviation", "energy": "mean square", "entropy": "entropy of 32 bins"}
ALL_FILTERS = "Gabor, all filters"
COMPARISONS = {
    "gabor_similarity": ("disc and ring", ALL_FILTERS, "cosine of means and standard deviations"),
    "gabor_similarity_mean": ("disc and ring", ALL_FILTERS, "cosine of means"),
    "gabor_similarity_pooled": ("disc and ring", "Gabor, mean over orientations", "cosine of means and deviations"),
    "gabor_asymmetry": ("disc, and same place of the other breast", ALL_FILTERS, "cosine of means and deviations"),
}
"""Region, filter and statistic of the features that compare two regions."""

Statistic = Literal["mean", "std", "energy", "entropy"]
Form = Literal["oriented", "pooled"]


class Options(RegionOptions, StageSettings):
    """Gabor texture near the lesion against the tissue around it."""

    regions: list[RegionName] = Field(
        ["inner", "ring"],
        description="Regions to measure: the disc around the lesion (inner) and the surrounding ring, which are "
        "compared, and further the lesion alone and the same place of the other breast (mirrored).",
    )
    statistics: list[Statistic] = Field(
        ["mean", "std"],
        description="Statistics of each filter's magnitude over a region: mean and std, which are compared, and "
        "further energy (mean square) and entropy.",
    )
    forms: list[Form] = Field(
        ["oriented"],
        min_length=1,
        description="Columns for each orientation (oriented), and for the average over each wavelength's orientations "
        "(pooled), which does not change if the film is rotated.",
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
    def check_bank(self) -> Self:
        """Refuse a bank without what is compared, and what is given twice."""
        for key, values, needed in (
            ("regions", self.regions, ("inner", "ring")),
            ("statistics", self.statistics, COMPARED),
            ("forms", self.forms, ()),
            ("wavelengths_mm", self.wavelengths_mm, ()),
        ):
            lacking = [name for name in needed if name not in values]
            if lacking:
                raise ValueError(f"found {key} {values}; expected {' and '.join(needed)} among them")
            if len(set(values)) < len(values):
                raise ValueError(f"found {key} {values}; expected each once")
        return self


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

    def __init__(self, options: Options, device: str) -> None:
        from mammoflow.features.gabor_bank import shortest_wavelength_px

        self.options = options
        self.device = device
        angles = [180 * step / options.orientations for step in range(options.orientations)]
        self._waves = [(wavelength, angle) for wavelength in options.wavelengths_mm for angle in angles]
        self._shortest_px = shortest_wavelength_px(options.bandwidth_octaves)
        self._bank = lru_cache(maxsize=CACHED_BANKS)(self._make_bank)
        names = options.region_names()
        self.columns = ["gabor_similarity", "gabor_similarity_mean", "gabor_similarity_pooled"]
        if options.compares_breasts:
            self.columns.append("gabor_asymmetry")
        self.columns += [
            column for name in names for statistic in options.statistics for column in self._of(name, statistic)
        ]
        self.description = [
            *(f"{name}_{number}" for name in names for number in ("pixels", "share")),
            "wavelengths",
            *(["mirrored_spacing_mm"] if options.compares_breasts else []),
        ]

    def __call__(self, patch: LesionPatch) -> dict[str, float | str]:
        """Return all columns, with `status` and `detail` where regions or wavelengths are not defined."""
        measured = measure_regions(self.options, patch)
        row: dict[str, float | str] = dict.fromkeys(self.columns, math.nan)
        row |= measured.numbers()
        problems = [*measured.problems]
        resolved = self._resolved(patch.spacing_mm)
        row["wavelengths"] = int(resolved.sum()) // self.options.orientations
        pixels = self._pixels(measured)
        problems += [
            f"{name}: no pixel of the region is in the breast without its edge; expected at least one"
            for name in pixels
            if name in measured.defined and not pixels[name].any()
        ]
        if not resolved.any():
            problems.append(f"pixels of {patch.spacing_mm:g} mm resolve no wavelength of the bank")
        elif any(region.any() for region in pixels.values()):
            values = self._values(patch, measured.tissue, pixels, resolved)
            row |= self._named(values) | self._similarities(values["inner"], values["ring"])
        if self.options.compares_breasts:
            numbers, problem = self._across(patch)
            row |= numbers
            problems += [problem] if problem else []
        if problems:
            row |= {"status": str(FeatureReason.FEATURES_UNDEFINED), "detail": "; ".join(problems)}
        return row

    def _across(self, patch: LesionPatch) -> tuple[dict[str, float | str], str]:
        """Return what is measured on the same place of the other breast, and why it is not defined, or ""."""
        empty: dict[str, float | str] = dict.fromkeys(
            ("mirrored_pixels", "mirrored_share", "mirrored_spacing_mm"), math.nan
        )
        if patch.breasts is None:
            return empty, NO_OTHER_BREAST
        own, other = patch.breasts
        resolved = self._resolved(own.spacing_mm)
        regions, tissues = mirrored_regions(self.options, own, other)
        empty |= {"mirrored_pixels": regions[1].count, "mirrored_share": regions[1].share}
        empty["mirrored_spacing_mm"] = own.spacing_mm
        if not resolved.any():
            return empty, f"mirrored: pixels of {own.spacing_mm:g} mm resolve no wavelength of the bank"
        if not all(is_large_enough(region, self.options.minimum_share) for region in regions):
            return empty, (
                f"mirrored: {regions[0].share:.1%} and {regions[1].share:.1%} of the regions are in their breasts, "
                f"expected at least {self.options.minimum_share:.1%}"
            )
        both = [
            self._values(place, tissue, {"mirrored": region.pixels}, resolved)["mirrored"]
            for place, tissue, region in zip((own, other), tissues, regions, strict=True)
        ]
        # The films of both breasts are compared at one spacing: that of the coarser canonical image.
        asymmetry = cosine_similarity(*(self._compared(vectors).ravel() for vectors in both))
        return empty | self._named({"mirrored": both[1]}) | {"gabor_asymmetry": asymmetry}, ""

    @staticmethod
    def _pixels(measured: Measured) -> dict[str, Mask]:
        """Return the pixels (rows, columns) of each region in the tissue, none of a region that is not defined.

        The lesion's mask can go beyond the tissue, where the image is only continued.
        """
        return {
            name: region.pixels & measured.tissue & (name in measured.defined)
            for name, region in measured.regions.items()
        }

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

    def _values(
        self, patch: LesionPatch, tissue: Mask, pixels: dict[str, Mask], resolved: Mask
    ) -> dict[str, npt.NDArray[np.float64]]:
        """Return (filters, statistics) of each region."""
        image = continue_breast(patch.image / np.float32(FULL_SCALE), tissue, patch.spacing_mm)
        values = np.full((len(pixels), len(self._waves), len(self.options.statistics)), np.nan)
        bank = self._bank(patch.spacing_mm)
        values[:, resolved] = bank.statistics(image, [*pixels.values()], self.options.statistics)
        return dict(zip(pixels, values, strict=True))

    def _similarities(self, inner: npt.NDArray[np.float64], ring: npt.NDArray[np.float64]) -> dict[str, float | str]:
        inner, ring = self._compared(inner), self._compared(ring)
        pooled_inner, pooled_ring = (self._pool(vectors) for vectors in (inner, ring))
        return {
            "gabor_similarity": cosine_similarity(inner.ravel(), ring.ravel()),
            "gabor_similarity_mean": cosine_similarity(inner[:, 0], ring[:, 0]),
            "gabor_similarity_pooled": cosine_similarity(pooled_inner.ravel(), pooled_ring.ravel()),
        }

    def _compared(self, vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the columns (filters, 2) that are compared, of (filters, statistics)."""
        names: list[str] = [*self.options.statistics]
        return np.stack([vectors[:, names.index(name)] for name in COMPARED], axis=1)

    def _named(self, values: dict[str, npt.NDArray[np.float64]]) -> dict[str, float | str]:
        """Return the values (filters, statistics) of regions by column."""
        row: dict[str, float | str] = {}
        for region, vectors in values.items():
            pooled = self._pool(vectors)
            for position, statistic in enumerate(self.options.statistics):
                numbers = [
                    *(vectors[:, position] if "oriented" in self.options.forms else []),
                    *(pooled[:, position] if "pooled" in self.options.forms else []),
                ]
                row |= zip(self._of(region, statistic), map(float, numbers), strict=True)
        return row

    def _pool(self, vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Average (filters, statistics) over each wavelength's orientations: the same however the film is turned."""
        return np.asarray(vectors.reshape(-1, self.options.orientations, vectors.shape[1]).mean(axis=1))

    def _of(self, region: str, statistic: str) -> list[str]:
        """Return the columns of one statistic of a region: each orientation, then the average over orientations."""
        names = []
        if "oriented" in self.options.forms:
            names += [f"w{float(wavelength)}_o{round(angle):03d}" for wavelength, angle in self._waves]
        if "pooled" in self.options.forms:
            names += [f"w{float(wavelength)}_{POOLED}" for wavelength in self.options.wavelengths_mm]
        return [f"gabor_{region}_{statistic}_{name}" for name in names]

    def meaning(self, column: str) -> Meaning:
        """Return what a feature is: a similarity of two regions, or a statistic of a filter's magnitude in one."""
        if column in COMPARISONS:
            return Meaning(*COMPARISONS[column])
        _, region, statistic, wavelength, orientation = column.split("_")
        angle = "mean over orientations" if orientation == POOLED else f"{int(orientation[1:])} degrees"
        unit = {"energy": "(part of full white)^2", "entropy": "bit"}.get(statistic, "part of full white")
        return Meaning(region_words(region), f"Gabor, {wavelength[1:]} mm, {angle}", WORDS[statistic], unit)
