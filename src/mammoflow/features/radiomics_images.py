"""The images that radiomics features are taken from: the film's grey levels, and filtered versions of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mammoflow.imaging.geometry import Mask, box_of, crop

SLICE_MM = 1.0
"""Thickness given to the film, which has none: volumes, as in TotalEnergy, are then areas."""

ORIGINAL = "original"
WAVELETS = ("wavelet-LH", "wavelet-HL", "wavelet-HH", "wavelet-LL")
"""Decompositions by the letters of PyRadiomics: low (L) or high (H) pass along rows' and columns' axis."""

Pixels = npt.NDArray[np.float64]


def log_name(sigma_mm: float) -> str:
    """Return the name of the Laplacian of a Gaussian, such as `log-sigma-2-0-mm-2D`."""
    return f"log-sigma-{str(float(sigma_mm)).replace('.', '-')}-mm-2D"


def image_names(log_sigmas_mm: Sequence[float], wavelet: bool) -> list[str]:
    """Return the names of all images, the film's own grey levels first."""
    return [ORIGINAL, *map(log_name, log_sigmas_mm), *(WAVELETS if wavelet else ())]


def derived_images(
    image: npt.NDArray[np.float32], spacing_mm: float, log_sigmas_mm: Sequence[float], wavelet: bool
) -> Iterator[tuple[str, npt.NDArray[np.floating]]]:
    """Yield each image of a patch with its name.

    Filters run on the whole patch, so that its edge is far from the lesion, and in the plane only. PyRadiomics' own
    Laplacian of a Gaussian is defined for volumes and refuses a single slice; here the same filter of ITK, normalised
    over scales, runs on the slice. The wavelet is PyRadiomics' (coiflet 1, undecimated, one level).

    Parameters
    ----------
    image
        (rows, columns).
    spacing_mm
        Pixel spacing in millimetres.
    log_sigmas_mm
        Standard deviations of the Gaussians in millimetres.
    wavelet
        Whether the four wavelet decompositions are asked for.
    """
    import SimpleITK as sitk  # noqa: N813

    yield ORIGINAL, image
    if not log_sigmas_mm and not wavelet:
        return
    pixels = image.astype(np.float64)
    if log_sigmas_mm:
        slice_ = sitk.GetImageFromArray(pixels)
        slice_.SetSpacing((spacing_mm, spacing_mm))
        for sigma in log_sigmas_mm:
            filtered = sitk.LaplacianRecursiveGaussian(slice_, float(sigma), True)
            yield log_name(sigma), np.asarray(sitk.GetArrayFromImage(filtered), dtype=np.float64)
    if wavelet:
        from radiomics.imageoperations import getWaveletImage

        volume = as_volume(pixels, spacing_mm)
        for filtered, name, _ in getWaveletImage(volume, volume, force2D=True, force2Ddimension=0):
            yield name, np.asarray(sitk.GetArrayFromImage(filtered)[0], dtype=np.float64)


def as_volume(pixels: npt.NDArray[Any], spacing_mm: float) -> Any:
    """Return pixels (rows, columns) as a volume of one slice (`SimpleITK.Image`)."""
    import SimpleITK as sitk  # noqa: N813

    volume = sitk.GetImageFromArray(pixels[None])
    volume.SetSpacing((spacing_mm, spacing_mm, SLICE_MM))
    return volume


def cropped(image: npt.NDArray[np.floating], mask: Mask) -> tuple[Pixels, npt.NDArray[np.uint8]]:
    """Return image and mask around the mask with a rim of one pixel, which is all that the features need.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    box = box_of(mask)
    if box is None:
        raise ValueError("the mask has no pixel; expected a region")
    return crop(image, box, margin=1).astype(np.float64), crop(mask, box, margin=1).astype(np.uint8)
