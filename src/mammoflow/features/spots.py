"""Small bright spots, such as calcifications, by a top-hat at the resolution of the film."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.imaging.geometry import Mask

DEVIATIONS_OF_MEDIAN = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def top_hat(image: npt.NDArray[np.float32], diameter_px: float) -> npt.NDArray[np.float32]:
    """Return an image (rows, columns) without all that is wider than a disc: its white top-hat.

    The top-hat is the image less its opening (Serra, Image Analysis and Mathematical Morphology, 1982). It keeps what
    is brighter than its surroundings and narrower than the disc.
    """
    radius = max(1, round(diameter_px / 2))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = (y**2 + x**2 <= radius**2).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(image, cv2.MORPH_TOPHAT, disc), dtype=np.float32)


def find_spots(
    image: npt.NDArray[np.float32],
    region: Mask,
    background: Mask,
    spacing_mm: float,
    largest_mm: float,
    deviations: float,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the areas and places of bright spots in a region.

    A spot is a connected group of at least two pixels whose top-hat is above the median of the background by some
    robust standard deviations (median absolute deviation), and whose area is at most that of the disc of the top-hat.
    Top-hats for calcifications: Betal, Roberts and Whitehouse, British Journal of Radiology 70, 1997.

    Parameters
    ----------
    image
        (rows, columns).
    region
        Pixels in which spots are looked for; a spot belongs to it if its centroid does.
    background
        Pixels whose top-hat gives median and spread.
    spacing_mm
        Pixel spacing in millimetres.
    largest_mm
        Largest diameter of a spot.
    deviations
        Robust standard deviations above the median.

    Returns
    -------
    tuple
        Areas (spots,) in square millimetres, and centroids (spots, 2) as y, x in millimetres.
    """
    hat = top_hat(image, largest_mm / spacing_mm)
    levels = hat[background]
    if levels.size == 0:
        return np.zeros(0), np.zeros((0, 2))
    median = float(np.median(levels))
    spread = DEVIATIONS_OF_MEDIAN * float(np.median(np.abs(levels - median)))
    bright = (hat > median + deviations * max(spread, 1.0)).astype(np.uint8)
    count, _, facts, centroids = cv2.connectedComponentsWithStats(bright, connectivity=8)
    if count < 2:
        return np.zeros(0), np.zeros((0, 2))
    pixels = facts[1:, cv2.CC_STAT_AREA].astype(np.float64)
    places = np.asarray(centroids[1:, ::-1], dtype=np.float64)
    rows, columns = np.rint(places).astype(int).T
    most = math.pi / 4 * (largest_mm / spacing_mm) ** 2
    kept = region[rows, columns] & (pixels >= 2) & (pixels <= max(most, 2.0))
    return pixels[kept] * spacing_mm**2, places[kept] * spacing_mm
