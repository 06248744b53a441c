"""PyRadiomics features of a lesion and the regions around it (van Griethuysen et al., Cancer Research 77, 2017)."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mammoflow.config.base import StageSettings
from mammoflow.errors import ExcludedCase
from mammoflow.features.extractor import FamilyExtractor, Meaning
from mammoflow.features.measured import (
    NO_OTHER_BREAST,
    DifferentLengths,
    RegionOptions,
    is_large_enough,
    measure_regions,
    mirrored_regions,
    region_words,
)
from mammoflow.imaging.geometry import Mask
from mammoflow.reasons.features import FeatureReason
from mammoflow.reasons.lesions import LesionReason

if TYPE_CHECKING:
    from mammoflow.features.lesion_patch import LesionPatch

GPU = True
PROCESSES = True

FeatureClass = Literal["shape2D", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"]

LESION = "lesion"
SHAPE = "shape2D"


class Options(RegionOptions, StageSettings):
    """PyRadiomics features of the lesion."""

    classes: list[FeatureClass] = Field(
        default_factory=lambda: list(get_args(FeatureClass)),
        min_length=1,
        description="PyRadiomics feature classes; the 3D `shape` class is not defined on one slice.",
    )
    bin_count: int = Field(32, ge=2, description="Grey levels after discretisation of the region.")
    bin_width: float | None = Field(
        None,
        gt=0,
        description="Fixed width of the bins in 16-bit grey levels, in place of bin_count; the table then has the "
        "number of grey levels of each region.",
    )
    log_sigmas_mm: DifferentLengths = Field(
        default_factory=list,
        description="Features are also taken from the Laplacian of a Gaussian of each of these standard deviations in "
        "millimetres.",
    )
    wavelet: bool = Field(
        False, description="Features are also taken from the four decompositions of an undecimated wavelet transform."
    )
    backend: Literal["pyradiomics", "fastrad"] = Field(
        "pyradiomics",
        description="pyradiomics computes on the CPU. fastrad, which has to be installed separately, computes all "
        "classes but firstorder and glrlm with torch, on a GPU if there is one.",
    )

    @property
    def can_use_gpu(self) -> bool:
        """Whether the computation can use a GPU; PyRadiomics cannot, and reserves none."""
        return self.backend == "fastrad"


def open_family(options: Options, device: str) -> LesionRadiomics:
    """Return the extractor; PyRadiomics computes on the CPU only.

    Raises
    ------
    ConfigError
        If fastrad is asked for and not installed.
    """
    return LesionRadiomics(options, device)


class LesionRadiomics(FamilyExtractor):
    """Computes the radiomics features of a lesion's patch.

    The lesion is one slice: neighbours are looked for in its plane only, and its grey levels are brought to a fixed
    number of bins between the darkest and the brightest pixel of the region, or to bins of a fixed width. Only the
    region with a rim of one pixel is handed to PyRadiomics, which gives the values of the whole film in a fraction of
    the time.

    Columns are `radiomics_<image>_<class>_<feature>` for the lesion itself, with the names of PyRadiomics, and
    `radiomics_<region>_<image>_<class>_<feature>` for every other region.

    Parameters
    ----------
    options
        Regions, images, feature classes and grey levels.
    device
        Where fastrad computes.
    """

    def __init__(self, options: Options, device: str = "cpu") -> None:
        import radiomics
        import SimpleITK as sitk  # noqa: N813

        from mammoflow.features.fastrad_backend import CLASSES, check_installed
        from mammoflow.features.radiomics_images import ORIGINAL, image_names

        # PyRadiomics warns about every lesion that its co-occurrence matrix is symmetric, as it always is.
        radiomics.logger.setLevel(logging.CRITICAL)
        radiomics.setVerbosity(logging.CRITICAL)
        # Each crop is tiny: ITK's threads would cost more than they save, and there is a process for every core.
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
        self.options, self.device = options, device
        self._binning = {"binWidth": options.bin_width} if options.bin_width else {"binCount": options.bin_count}
        known = radiomics.getFeatureClasses()
        self._features = {
            name: [feature for feature, deprecated in known[name].getFeatureNames().items() if not deprecated]
            for name in options.classes
        }
        fast: tuple[str, ...] = ()
        if options.backend == "fastrad":
            check_installed()
            fast = CLASSES
        self._fast = {name: features for name, features in self._features.items() if name in fast}
        self._plain = [name for name in options.classes if name not in fast]
        self._extractors: dict[tuple[str, ...], Any] = {}
        images = image_names(options.log_sigmas_mm, options.wavelet)
        self.columns = [
            f"{_prefix(region, image)}{name}_{feature}"
            for region in options.region_names()
            for image in images
            for name, features in self._features.items()
            if image == ORIGINAL or name != SHAPE
            for feature in features
        ]
        # A table of the lesion alone has nothing more, as it has always been.
        regions = [] if options.region_names() == [LESION] else options.region_names()
        self.description = [
            *(f"{name}_{number}" for name in regions for number in ("pixels", "share")),
            *(f"{name}_grey_levels" for name in options.region_names() if options.bin_width),
        ]

    def __call__(self, patch: LesionPatch) -> dict[str, float | str]:
        """Return the features by name, with `status` and `detail` where a region has none.

        Raises
        ------
        ExcludedCase
            If no region has features, such as a lesion of a single line of pixels or of one grey level.
        """
        if not patch.mask.any():
            raise ExcludedCase(LesionReason.MASK_EMPTY, "the mask has no pixel; expected a lesion")
        row: dict[str, float | str] = {}
        problems = []
        if self.options.region_names() == [LESION] and not self.options.lesion_share:
            masks = {LESION: (patch, patch.mask)}
        else:
            measured = measure_regions(self.options, patch)
            row |= {} if self.options.region_names() == [LESION] else measured.numbers()
            problems = [*measured.problems]
            masks = {
                name: (patch, measured.regions[name].pixels) for name in measured.regions if name in measured.defined
            }
        if self.options.compares_breasts:
            problems += self._add_mirrored(patch, row, masks)
        found = 0
        for name, (place, mask) in masks.items():
            try:
                values = self._region(name, place, mask)
                row |= values
                found += 1
                problem = _undefined(values)
            except ExcludedCase as error:
                problem = error.detail
            if problem:
                problems.append(problem if len(self.options.region_names()) == 1 else f"{name}: {problem}")
        if not found:
            raise ExcludedCase(FeatureReason.FEATURES_UNDEFINED, "; ".join(problems))
        if problems:
            row |= {"status": str(FeatureReason.FEATURES_UNDEFINED), "detail": "; ".join(problems)}
        return row

    def meaning(self, column: str) -> Meaning:
        """Return what a feature is: PyRadiomics' class and feature, of an image in a region."""
        parts = column.split("_")[1:]
        region = parts[0] if parts[0] in self.options.region_names() else LESION
        image, group, feature = parts[-3:]
        return Meaning(region_words(region), image, f"{group} {feature}", "")

    def _add_mirrored(
        self, patch: LesionPatch, row: dict[str, float | str], masks: dict[str, tuple[LesionPatch, Mask]]
    ) -> list[str]:
        """Add the same place of the other breast, at the spacing of its canonical image; return why there is none."""
        row |= {"mirrored_pixels": math.nan, "mirrored_share": math.nan}
        if patch.breasts is None:
            return [NO_OTHER_BREAST]
        region = mirrored_regions(self.options, *patch.breasts)[0][1]
        row |= {"mirrored_pixels": region.count, "mirrored_share": region.share}
        if not is_large_enough(region, self.options.minimum_share):
            return [f"mirrored: {region.share:.1%} of the region is in the other breast"]
        masks["mirrored"] = (patch.breasts[1], region.pixels)
        return []

    def _region(self, region: str, patch: LesionPatch, mask: Mask) -> dict[str, float | str]:
        """Return the features of one region by column.

        Raises
        ------
        ExcludedCase
            If the region is a single line of pixels or less, or has one grey level.
        """
        from mammoflow.features.radiomics_images import ORIGINAL, cropped, derived_images

        levels = patch.image[mask]
        if levels.size and levels.min() == levels.max():
            raise ExcludedCase(
                FeatureReason.FEATURES_UNDEFINED,
                f"all {levels.size} pixels of the {region} have grey level {levels.min():g}",
            )
        row: dict[str, float | str] = {}
        images = derived_images(patch.image, patch.spacing_mm, self.options.log_sigmas_mm, self.options.wavelet)
        for image, pixels in images:
            part, inside = cropped(pixels, mask)
            values = self._values(part, inside, patch.spacing_mm, shape=image == ORIGINAL)
            row |= {f"{_prefix(region, image)}{name}": value for name, value in values.items()}
        if self.options.bin_width:
            width = self.options.bin_width
            row[f"{region}_grey_levels"] = float(levels.max() // width - levels.min() // width + 1)
        return row

    def _values(
        self, image: npt.NDArray[np.float64], mask: npt.NDArray[np.uint8], spacing_mm: float, shape: bool
    ) -> dict[str, float]:
        """Return the features of one image (rows, columns) by class and name."""
        from mammoflow.features.fastrad_backend import fastrad_features
        from mammoflow.features.radiomics_images import as_volume

        fast: dict[str, list[str]] = {name: features for name, features in self._fast.items() if shape or name != SHAPE}
        plain = tuple(name for name in self._plain if shape or name != SHAPE)
        found: dict[str, float] = {}
        try:
            with np.errstate(divide="ignore", invalid="ignore"):
                if plain:
                    volumes = (as_volume(image, spacing_mm), as_volume(mask, spacing_mm))
                    values = self._extractor(plain).execute(*volumes)
                    found |= {name.removeprefix("original_"): float(value) for name, value in values.items()}
                if fast:
                    self._check_dimensions(mask)
                    levels = self._discretised(image, mask)
                    found |= fastrad_features(levels, mask, spacing_mm, fast, self.device)
        except ValueError as error:
            raise ExcludedCase(FeatureReason.FEATURES_UNDEFINED, f"PyRadiomics refuses the mask: {error}") from error
        return found

    def _extractor(self, classes: tuple[str, ...]) -> Any:
        """Return PyRadiomics' extractor of some classes; it is made once."""
        if classes not in self._extractors:
            from radiomics.featureextractor import RadiomicsFeatureExtractor

            extractor = RadiomicsFeatureExtractor(
                **self._binning, force2D=True, force2Ddimension=0, additionalInfo=False
            )
            extractor.disableAllFeatures()
            for name in classes:
                extractor.enableFeatureClassByName(name)
            self._extractors[classes] = extractor
        return self._extractors[classes]

    def _discretised(self, image: npt.NDArray[np.float64], mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """Return the grey levels (rows, columns) from 1 on, as PyRadiomics makes them."""
        from radiomics.imageoperations import binImage

        inside = np.nonzero(mask)
        levels, _ = binImage(image.copy(), inside, **self._binning)
        return np.where(mask > 0, levels, 1).astype(np.int64)

    @staticmethod
    def _check_dimensions(mask: npt.NDArray[np.uint8]) -> None:
        """Refuse what PyRadiomics refuses: a mask of one line of pixels or less."""
        rows, columns = (int(mask.any(axis=axis).sum()) for axis in (1, 0))
        if min(rows, columns) < 2:
            raise ValueError(f"mask of {rows} x {columns} pixels, expected at least two rows and two columns")


def _prefix(region: str, image: str) -> str:
    """Return the beginning of the columns of a region and image; the lesion itself has PyRadiomics' own names."""
    return f"radiomics_{image}_" if region == LESION else f"radiomics_{region}_{image}_"


def _undefined(values: dict[str, float | str]) -> str:
    """Return which classes have features of a region that are no finite numbers, or ""."""
    names = [name for name, value in values.items() if not math.isfinite(float(value))]
    classes = ", ".join(dict.fromkeys(name.split("_")[-2] for name in names))
    return f"{len(names)} features of {classes} are not defined; expected more neighbouring pixels" if names else ""
