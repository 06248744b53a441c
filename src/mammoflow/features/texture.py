"""Gabor texture of one lesion: the region around it against the ring about it."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from mammoflow.config.features import GaborSettings
from mammoflow.features.gabor import GaborBank, GaborFilter, shortest_wavelength_px
from mammoflow.features.lesion_patch import LesionPatch
from mammoflow.features.regions import Region, continue_breast, lesion_region, ring_region, without_edge
from mammoflow.features.similarity import cosine_similarity
from mammoflow.imaging.geometry import Mask
from mammoflow.reasons.features import FeatureReason

FULL_SCALE = 65535.0
"""Grey level of full white; magnitudes are parts of it."""
STATISTICS = ("mean", "std")
CACHED_BANKS = 4
"""Spacings whose banks are kept; films of one scanner share one, and DDSM has three."""


class LesionTexture:
    """Computes the Gabor features of a lesion's patch.

    Parameters
    ----------
    settings
        Regions and bank.
    device
        Where the filters run.

    Attributes
    ----------
    columns
        Names of all columns. Features begin with `gabor_`; the others describe the regions.
    """

    def __init__(self, settings: GaborSettings, device: torch.device) -> None:
        self.settings = settings
        self.device = device
        angles = [180 * step / settings.orientations for step in range(settings.orientations)]
        self._waves = [(wavelength, angle) for wavelength in settings.wavelengths_mm for angle in angles]
        self._bank = lru_cache(maxsize=CACHED_BANKS)(self._make_bank)
        features = [
            self._name(region, statistic, *wave)
            for region in ("inner", "ring")
            for statistic in STATISTICS
            for wave in self._waves
        ]
        self.columns = [
            *("inner_pixels", "inner_share", "ring_pixels", "ring_share", "wavelengths"),
            *("gabor_similarity", "gabor_similarity_mean", "gabor_similarity_pooled"),
            *features,
        ]

    def __call__(self, patch: LesionPatch) -> dict[str, object]:
        """Return all columns; with `status` and `detail` beside them where regions or wavelengths are not defined."""
        tissue = without_edge(patch.breast, self.settings.edge_mm / patch.spacing_mm)
        regions = self.regions(patch, tissue)
        row: dict[str, object] = dict.fromkeys(self.columns, math.nan)
        problems = []
        for name, region in regions.items():
            row |= {f"{name}_pixels": region.count, f"{name}_share": region.share}
            if not self._is_defined(region):
                problems.append(
                    f"{name}: {region.share:.1%} of the region lies in the breast, "
                    f"expected at least {self.settings.minimum_share:.1%}"
                )
        resolved = self._resolved(patch.spacing_mm)
        row["wavelengths"] = int(resolved.sum()) // self.settings.orientations
        if not resolved.any():
            problems.append(f"pixels of {patch.spacing_mm:g} mm resolve no wavelength of the bank")
        elif any(self._is_defined(region) for region in regions.values()):
            row |= self._features(patch, tissue, regions, resolved)
        if problems:
            row |= {"status": str(FeatureReason.FEATURES_UNDEFINED), "detail": "; ".join(problems)}
        return row

    def regions(self, patch: LesionPatch, tissue: Mask) -> dict[str, Region]:
        """Return the region around the lesion (`inner`) and the surrounding one (`ring`), both inside the tissue."""
        inner, low, high = (
            diameter / patch.spacing_mm for diameter in (self.settings.inner_mm, *self.settings.ring_mm)
        )
        return {
            "inner": lesion_region(patch.mask, tissue, inner),
            "ring": ring_region(patch.mask, tissue, low, high),
        }

    def _is_defined(self, region: Region) -> bool:
        return region.count > 0 and region.share >= self.settings.minimum_share

    def _resolved(self, spacing_mm: float) -> Mask:
        """Return which filters the pixels are fine enough for."""
        shortest = shortest_wavelength_px(self.settings.bandwidth_octaves) * spacing_mm
        return np.array([wavelength >= shortest * (1 - 1e-9) for wavelength, _ in self._waves])

    def _make_bank(self, spacing_mm: float) -> GaborBank:
        resolved = self._resolved(spacing_mm)
        filters = [
            GaborFilter(
                wavelength / spacing_mm,
                math.radians(angle),
                self.settings.bandwidth_octaves,
                self.settings.aspect_ratio,
            )
            for (wavelength, angle), fine in zip(self._waves, resolved, strict=True)
            if fine
        ]
        return GaborBank(filters, self.device)

    def _features(
        self, patch: LesionPatch, tissue: Mask, regions: dict[str, Region], resolved: Mask
    ) -> dict[str, object]:
        image = continue_breast(patch.image / np.float32(FULL_SCALE), tissue, patch.spacing_mm)
        pixels = [region.pixels & self._is_defined(region) for region in regions.values()]
        values = np.full((len(regions), len(self._waves), len(STATISTICS)), np.nan)
        values[:, resolved] = self._bank(patch.spacing_mm).statistics(image, pixels)
        inner, ring = values
        pooled_inner, pooled_ring = (self._pool(one) for one in (inner, ring))
        row: dict[str, object] = {
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
        return np.asarray(vector.reshape(-1, self.settings.orientations, len(STATISTICS)).mean(axis=1))

    @staticmethod
    def _name(region: str, statistic: str, wavelength: float, angle: float) -> str:
        return f"gabor_{region}_{statistic}_w{float(wavelength)}_o{round(angle):03d}"
