"""The regions in which texture is measured, all inside the breast: around a lesion, rings, and shells at its border."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.imaging.geometry import Mask

SMOOTHING_MM = 2.0
"""Standard deviation of the smoothing from which the breast is continued beyond its edge."""


@dataclass(frozen=True)
class Region:
    """Part of a patch in which statistics are taken.

    Attributes
    ----------
    pixels
        (rows, columns): the pixels of the region, all inside the breast and the film.
    share
        Share of the region's whole area that these pixels cover, 0 to 1; the rest is outside breast or film.
    """

    pixels: Mask
    share: float

    @property
    def count(self) -> int:
        """Number of pixels."""
        return int(self.pixels.sum())


def centre_of(mask: Mask) -> tuple[float, float]:
    """Return the centroid (y, x) of a mask that is not empty, in pixels; pixel i covers [i, i+1)."""
    rows, columns = np.nonzero(mask)
    return float(rows.mean()) + 0.5, float(columns.mean()) + 0.5


def shell(shape: tuple[int, int], centre: tuple[float, float], inner_px: float, outer_px: float) -> Mask:
    """Return the pixels whose centres lie between two circles; with an inner diameter of 0 it is a disc.

    Parameters
    ----------
    shape
        (rows, columns) of the patch.
    centre
        (y, x) of both circles in pixels.
    inner_px, outer_px
        Diameters in pixels; the inner circle itself is left out, the outer one is part of the shell.
    """
    y = np.arange(shape[0])[:, None] + 0.5 - centre[0]
    x = np.arange(shape[1])[None, :] + 0.5 - centre[1]
    squared = 4 * (y**2 + x**2)
    within = squared <= outer_px**2
    return np.asarray(within & (squared > inner_px**2) if inner_px > 0 else within)


def _shell_area(inner_px: float, outer_px: float) -> float:
    return float(np.pi / 4 * (outer_px**2 - inner_px**2))


def lesion_region(mask: Mask, breast: Mask, diameter_px: float) -> Region:
    """Return the region around a lesion: a disc around its centroid together with the lesion itself.

    A lesion that is wider than the disc, or off its own centroid, is thus never cut.
    """
    disc = shell(_shape(mask), centre_of(mask), 0.0, diameter_px)
    pixels = (disc | mask) & breast
    whole = _shell_area(0.0, diameter_px) + int((mask & ~disc).sum())
    return Region(pixels, _share(pixels, whole))


def ring_region(mask: Mask, breast: Mask, inner_px: float, outer_px: float) -> Region:
    """Return the ring around a lesion's centroid, without the lesion."""
    ring = shell(_shape(mask), centre_of(mask), inner_px, outer_px)
    pixels = ring & ~mask & breast
    whole = _shell_area(inner_px, outer_px) - int((ring & mask).sum())
    return Region(pixels, _share(pixels, whole))


def border_distance(mask: Mask) -> npt.NDArray[np.float32]:
    """Return the distance of each pixel outside a mask from the mask's border, (rows, columns), in pixels.

    The border runs half a pixel before the first pixel outside. Pixels of the mask have the distance 0.
    """
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.maximum(distance - np.float32(0.5), np.float32(0.0)))


def border_shell(mask: Mask, breast: Mask, inner_px: float, outer_px: float) -> Region:
    """Return the shell between two distances from a lesion's border, without the lesion.

    Unlike a ring around the centroid it follows the lesion's outline, so it has the same width around a lesion of any
    size. Shells next to each other share no pixel.

    Parameters
    ----------
    mask, breast
        (rows, columns).
    inner_px, outer_px
        Distances from the border in pixels; the inner one is left out, unless it is 0.
    """
    reach = int(np.ceil(outer_px)) + 2
    # The part of the shell outside the patch counts as its area too.
    whole = np.pad(mask, reach)
    distance = border_distance(whole)
    within = ~whole & (distance <= outer_px)
    within &= distance > inner_px if inner_px > 0 else True
    pixels = within[reach:-reach, reach:-reach] & breast
    return Region(pixels, _share(pixels, float(within.sum())))


def masked_region(mask: Mask, breast: Mask) -> Region:
    """Return the lesion itself: all its pixels, and the share of them that is in the breast."""
    return Region(mask, _share(mask & breast, float(mask.sum())))


def _shape(mask: Mask) -> tuple[int, int]:
    return mask.shape[0], mask.shape[1]


def _share(pixels: Mask, whole: float) -> float:
    """Return the covered part of an area; counting pixels can pass the area of a circle a little, hence the bound."""
    return float(min(1.0, pixels.sum() / whole)) if whole >= 1 else 0.0


def without_edge(breast: Mask, band_px: float) -> Mask:
    """Return the breast without the band of this width, in pixels, along its edge and that of the film.

    The edge of the patch does not count, because the breast continues beyond it.
    """
    distance = cv2.distanceTransform(breast.astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(breast & (distance > band_px))


def continue_breast(image: npt.NDArray[np.float32], breast: Mask, spacing_mm: float) -> npt.NDArray[np.float32]:
    """Return the image with everything outside the breast replaced by a smooth continuation of the breast.

    The skin line, labels and the film's edge are the strongest edges of a mammogram; left in place, a filter near them
    measures them and not the tissue. Each pixel outside takes the value of the nearest breast pixel after a smoothing
    that uses only the breast (normalised convolution, Knutsson and Westin, CVPR 1993), so that no step remains.

    Parameters
    ----------
    image
        (rows, columns), any unit.
    breast
        (rows, columns); at least one pixel.
    spacing_mm
        Pixel spacing in millimetres.
    """
    if breast.all():
        return image
    sigma = SMOOTHING_MM / spacing_mm
    weight = breast.astype(np.float32)
    smooth = cv2.GaussianBlur(image * weight, (0, 0), sigma) / np.maximum(
        cv2.GaussianBlur(weight, (0, 0), sigma), np.float32(1e-6)
    )
    _, labels = cv2.distanceTransformWithLabels(
        (~breast).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    value_of_label = np.zeros(int(labels.max()) + 1, dtype=np.float32)
    value_of_label[labels[breast]] = smooth[breast]
    return np.where(breast, image, value_of_label[labels]).astype(np.float32)
