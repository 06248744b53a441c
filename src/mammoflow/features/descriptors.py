"""Descriptors of a lesion's shape, margin, surround and bright spots, each with its source."""

from __future__ import annotations

import math

import cv2
import numpy as np

from mammoflow.features.lesion_patch import LesionPatch
from mammoflow.features.outline import Outline, profiles
from mammoflow.features.regions import border_distance, centre_of
from mammoflow.features.spots import find_spots
from mammoflow.imaging.geometry import Mask

FULL_SCALE = 65535.0
"""Grey level of full white."""


def shape(mask: Mask, outline: Outline, spacing_mm: float) -> dict[str, float]:
    """Return descriptors of the shape alone.

    - `elongation`: 1 less the ratio of the minor to the major axis of the ellipse with the second moments of all pieces
      of the mask; 0 is round (Gonzalez and Woods, Digital Image Processing, 2018, section 11.3).
    - `circularity`: 4 pi area / perimeter^2; 1 is a circle, and less is lobulated or spiculated (Kilday, Palmieri and
      Fox, IEEE Transactions on Medical Imaging 12, 1993, there as its inverse).
    - `radial_std`: standard deviation of the distances between the outline and the centroid of the piece that it
      surrounds, over their largest one, and
    - `radial_crossings`: how often these distances cross their mean along the outline, by more than half a pixel: the
      standard deviation and the zero crossings of the normalised radial length (the same paper).

    Parameters
    ----------
    mask
        (rows, columns).
    outline
        Of the mask's largest piece.
    spacing_mm
        Pixel spacing in millimetres.
    """
    rows, columns = np.nonzero(mask)
    # A pixel is a square, which has a variance of 1 / 12 along each axis.
    spread = np.cov(np.stack([rows, columns]).astype(np.float64), bias=True) + np.eye(2) / 12
    minor, major = np.sqrt(np.linalg.eigvalsh(spread))
    steps = np.diff(np.concatenate([outline.points, outline.points[:1]]), axis=0)
    perimeter = float(np.linalg.norm(steps, axis=1).sum())
    y, x = outline.points.T
    area = 0.5 * abs(float(np.dot(y, np.roll(x, -1)) - np.dot(x, np.roll(y, -1))))
    radii = np.linalg.norm(outline.points - np.array(centre_of(outline.piece)), axis=1)
    # Within half a pixel of the mean, the side is that of the grid and not of the outline.
    above = (radii - radii.mean())[np.abs(radii - radii.mean()) > 0.5] > 0
    return {
        "elongation": float(1 - minor / major),
        "circularity": float(4 * math.pi * area / perimeter**2) if perimeter else math.nan,
        "radial_std": float(radii.std() / radii.max()),
        "radial_crossings": float((above != np.roll(above, 1)).sum()),
    }


def margin(
    patch: LesionPatch, outline: Outline, tissue: Mask, surround: Mask, margin_mm: float, smoothing_mm: float
) -> dict[str, float]:
    """Return descriptors of the margin.

    - `acutance`: the root mean square over the distances i up to `margin_mm` of (inside - outside) / 2i along each
      normal, averaged over the outline, as a part of full white for each millimetre (Rangayyan et al., IEEE
      Transactions on Medical Imaging 16, 1997). A sharp margin has a large one, and so has a bright lesion.
    - `margin_width_mm`: the difference between the mean levels at the inner and outer end of the average profile, over
      its steepest slope. It does not depend on exposure: an edge blurred by a Gaussian of sigma has sqrt(2 pi) sigma.
    - `spiculation`: the mean of sin^2 of the angle between the gradient and the direction from the lesion's centroid,
      weighted by the gradient's magnitude, over the surround from three smoothings outside the border on. It is 0.5
      where edges have no common direction, 1 where all are lines away from the lesion, and 0 where all are circles
      around it (radial edge-gradient analysis: Huo et al., Medical Physics 22, 1995; Karssemeijer and te Brake, IEEE
      Transactions on Medical Imaging 15, 1996).

    Parameters
    ----------
    patch
        Image and mask.
    outline
        Of the mask.
    tissue
        (rows, columns): the breast without the band along its edge; profiles that leave it do not count.
    surround
        (rows, columns): pixels around the lesion.
    margin_mm
        Length of the profiles to each side.
    smoothing_mm
        Standard deviation of the Gaussian before gradients and profiles.
    """
    spacing = patch.spacing_mm
    smooth = cv2.GaussianBlur(patch.image, (0, 0), smoothing_mm / spacing) / np.float32(FULL_SCALE)
    y_slope = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3)
    x_slope = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3)
    # The smoothed edge of the lesion itself is a circle around it, and no spicule.
    around = surround & (border_distance(patch.mask) > 3 * smoothing_mm / spacing)
    centre = centre_of(patch.mask)
    y, x = (places + 0.5 - middle for places, middle in zip(np.nonzero(around), centre, strict=True))
    gy, gx = y_slope[around].astype(np.float64), x_slope[around].astype(np.float64)
    strength = np.hypot(gy, gx)
    radial = (gy * y + gx * x) / np.maximum(np.hypot(y, x), 1e-12)
    weight = float(strength.sum())
    tangential = strength - radial**2 / np.maximum(strength, 1e-12)
    found = {"spiculation": float(tangential.sum() / weight) if weight else math.nan}
    step_px = max(1.0, 0.5 * smoothing_mm / spacing)
    distances, levels = profiles(smooth, outline, margin_mm / spacing, step_px)
    _, inside = profiles((tissue | patch.mask).astype(np.float32), outline, margin_mm / spacing, step_px)
    levels = levels[(inside > 0.5).all(axis=1)]
    if not len(levels):
        return found | {"acutance": math.nan, "margin_width_mm": math.nan}
    half = len(distances) // 2
    steps = distances[half + 1 :] * spacing
    differences = (levels[:, half - 1 :: -1][:, :half] - levels[:, half + 1 :]) / (2 * steps)
    average = levels.mean(axis=0)
    steepest = float(np.abs(np.gradient(average, distances * spacing)).max())
    return found | {
        "acutance": float(np.sqrt((differences**2).mean(axis=1)).mean()),
        "margin_width_mm": float(abs(average[0] - average[-1]) / steepest) if steepest else math.nan,
    }


def surround(patch: LesionPatch, pixels: Mask) -> dict[str, float]:
    """Return how the lesion differs from its surround.

    - `contrast`: (inside - outside) / (inside + outside) of the mean grey levels (Michelson's contrast; as a descriptor
      of masses: Petrick et al., IEEE Transactions on Medical Imaging 15, 1996).
    - `contrast_to_noise`: (inside - outside) over the standard deviation outside (te Brake, Karssemeijer and Hendriks,
      Physics in Medicine and Biology 45, 2000).

    Parameters
    ----------
    patch
        Image and mask.
    pixels
        (rows, columns): the surround; at least one pixel.
    """
    inside = float(patch.image[patch.mask].mean(dtype=np.float64))
    outside = float(patch.image[pixels].mean(dtype=np.float64))
    spread = float(patch.image[pixels].std(dtype=np.float64))
    return {
        "contrast": (inside - outside) / (inside + outside) if inside + outside else math.nan,
        "contrast_to_noise": (inside - outside) / spread if spread else math.nan,
    }


def spots(patch: LesionPatch, surround: Mask, largest_mm: float, deviations: float) -> dict[str, float]:
    """Return descriptors of the bright spots in the lesion.

    Number, mean area, and the root mean square distance from their common centroid: what the BI-RADS atlas describes as
    number, size and distribution of calcifications (Betal, Roberts and Whitehouse, British Journal of Radiology 70,
    1997). Size needs one spot and spread two.

    Parameters
    ----------
    patch
        Image and mask at the film's resolution.
    surround
        (rows, columns): with the lesion, the background that spots exceed.
    largest_mm
        Largest diameter of a spot.
    deviations
        Robust standard deviations above the background.
    """
    areas, places = find_spots(patch.image, patch.mask, patch.mask | surround, patch.spacing_mm, largest_mm, deviations)
    spread = math.nan
    if len(places) > 1:
        spread = float(np.sqrt(((places - places.mean(axis=0)) ** 2).sum(axis=1).mean()))
    return {
        "spots_count": float(len(areas)),
        "spots_size_mm2": float(areas.mean()) if len(areas) else math.nan,
        "spots_spread_mm": spread,
    }
