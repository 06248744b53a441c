"""PyRadiomics features of a lesion (van Griethuysen et al., Cancer Research 77, 2017)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from pydantic import Field

from mammoflow.config.features import FeatureOptions
from mammoflow.errors import ExcludedCase
from mammoflow.features.extractor import FamilyExtractor
from mammoflow.imaging.geometry import box_of, crop
from mammoflow.reasons.features import FeatureReason
from mammoflow.reasons.lesions import LesionReason

if TYPE_CHECKING:
    from mammoflow.features.lesion_patch import LesionPatch

GPU = False
PROCESSES = True

FeatureClass = Literal["shape2D", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"]

PREFIX = "radiomics_original_"
SLICE_MM = 1.0
"""Thickness given to the film, which has none: volumes, as in TotalEnergy, are then areas."""


class Options(FeatureOptions):
    """PyRadiomics features of the lesion."""

    classes: list[FeatureClass] = Field(
        default_factory=lambda: list(get_args(FeatureClass)),
        min_length=1,
        description="PyRadiomics feature classes; the 3D `shape` class is not defined on one slice.",
    )
    bin_count: int = Field(32, ge=2, description="Grey levels after discretisation of the region.")


def open_family(options: Options, device: str) -> LesionRadiomics:
    """Return the extractor; PyRadiomics computes on the CPU only."""
    return LesionRadiomics(options)


class LesionRadiomics(FamilyExtractor):
    """Computes the radiomics features of a lesion's patch.

    The lesion is one slice: neighbours are looked for in its plane only, and its grey levels are brought to a fixed
    number of bins between the darkest and the brightest pixel of the lesion. Only the lesion with a rim of one pixel is
    handed to PyRadiomics, which gives the values of the whole film in a fraction of the time.

    Columns are `radiomics_original_<class>_<feature>`, with the names of PyRadiomics.

    Parameters
    ----------
    options
        Feature classes and number of grey levels.
    """

    def __init__(self, options: Options) -> None:
        import radiomics
        import SimpleITK as sitk  # noqa: N813
        from radiomics.featureextractor import RadiomicsFeatureExtractor

        # PyRadiomics warns about every lesion that its co-occurrence matrix is symmetric, as it always is.
        radiomics.logger.setLevel(logging.CRITICAL)
        radiomics.setVerbosity(logging.CRITICAL)
        # Each crop is tiny: ITK's threads would cost more than they save, and there is a process for every core.
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
        self._extractor = RadiomicsFeatureExtractor(
            binCount=options.bin_count, force2D=True, force2Ddimension=0, additionalInfo=False
        )
        self._extractor.disableAllFeatures()
        columns = []
        classes = radiomics.getFeatureClasses()
        for name in options.classes:
            self._extractor.enableFeatureClassByName(name)
            features = classes[name].getFeatureNames()
            columns += [f"{PREFIX}{name}_{feature}" for feature, deprecated in features.items() if not deprecated]
        self.columns = columns

    def __call__(self, patch: LesionPatch) -> dict[str, float | str]:
        """Return the features by name.

        Raises
        ------
        ExcludedCase
            If the mask is a single line of pixels or less, or the lesion has one grey level only.
        """
        levels = patch.image[patch.mask]
        if levels.size and levels.min() == levels.max():
            raise ExcludedCase(
                FeatureReason.FEATURES_UNDEFINED,
                f"all {levels.size} pixels of the lesion have grey level {levels.min():g}",
            )
        image, mask = self._volumes(patch)
        try:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = self._extractor.execute(image, mask)
        except ValueError as error:
            raise ExcludedCase(FeatureReason.FEATURES_UNDEFINED, f"PyRadiomics refuses the mask: {error}") from error
        return {f"radiomics_{name}": float(value) for name, value in values.items()}

    @staticmethod
    def _volumes(patch: LesionPatch) -> tuple[Any, Any]:
        """Return image and mask around the lesion as volumes of one slice (`SimpleITK.Image`)."""
        import SimpleITK as sitk  # noqa: N813

        box = box_of(patch.mask)
        if box is None:
            raise ExcludedCase(LesionReason.MASK_EMPTY, "the mask has no pixel; expected a lesion")
        volumes = []
        for array in (patch.image.astype(np.float64), patch.mask.astype(np.uint8)):
            volume = sitk.GetImageFromArray(crop(array, box, margin=1)[None])
            volume.SetSpacing((patch.spacing_mm, patch.spacing_mm, SLICE_MM))
            volumes.append(volume)
        return volumes[0], volumes[1]
