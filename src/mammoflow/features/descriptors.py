"""Descriptors of a lesion's shape, margin, surround and bright spots, each with its source."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.features.lesion_patch import LesionPatch
from mammoflow.features.outline import Outline, profiles, signed_distance
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
    patch: LesionPatch, outline: Outline, tissue: Mask, margin_mm: float, smoothing_mm: float
) -> tuple[dict[str, float], str]:
    """Return descriptors of the margin, and why they are not defined, or "".

    - `acutance`: the root mean square over the distances i up to `margin_mm` of (inside - outside) / 2i along each
      normal, averaged over the outline, as a part of full white for each millimetre (Rangayyan et al., IEEE
      Transactions on Medical Imaging 16, 1997). A sharp margin has a large one, and so has a bright lesion.
    - `margin_width_mm`: the difference between the mean levels at the inner and outer end of the average profile, over
      its steepest slope. It does not depend on exposure: an edge blurred by a Gaussian of sigma has sqrt(2 pi) sigma.

    Profiles go inside by `margin_mm`, or by the radius of the largest circle inside the outline's piece if that is
    smaller, and repeat the level there. They end within the margin if this radius is smaller than `margin_mm` and than
    the width. Then the descriptors are not defined. At this bound those of a blurred disc have errors of about 5 %.

    Parameters
    ----------
    patch
        Image and mask.
    outline
        Of the mask.
    tissue
        (rows, columns): the breast without the band along its edge; profiles that leave it do not count.
    margin_mm
        Length of the profiles to each side.
    smoothing_mm
        Standard deviation of the Gaussian before the profiles.
    """
    spacing = patch.spacing_mm
    smooth = _smoothed(patch, smoothing_mm)
    reach_px, step_px = margin_mm / spacing, max(1.0, 0.5 * smoothing_mm / spacing)
    deepest_px = -float(signed_distance(outline.piece).min())
    distances, levels = profiles(smooth, outline, reach_px, step_px, deepest_px)
    _, inside = profiles((tissue | patch.mask).astype(np.float32), outline, reach_px, step_px, deepest_px)
    levels = levels[(inside > 0.5).all(axis=1)]
    undefined = {"acutance": math.nan, "margin_width_mm": math.nan}
    if not len(levels):
        return undefined, f"margin: no profile of {margin_mm:g} mm across the border stays in the breast"
    average = levels.mean(axis=0)
    steepest = float(np.abs(np.gradient(average, distances * spacing)).max())
    width = float(abs(average[0] - average[-1]) / steepest) if steepest else math.nan
    deepest_mm = deepest_px * spacing
    if deepest_mm < margin_mm and deepest_mm < width:
        return undefined, (
            f"margin: the lesion is {deepest_mm:.2g} mm deep inside its border, expected at least the width of its "
            f"margin of about {width:.2g} mm"
        )
    half = len(distances) // 2
    steps = distances[half + 1 :] * spacing
    differences = (levels[:, half - 1 :: -1][:, :half] - levels[:, half + 1 :]) / (2 * steps)
    return {"acutance": float(np.sqrt((differences**2).mean(axis=1)).mean()), "margin_width_mm": width}, ""


def spiculation(patch: LesionPatch, surround: Mask, smoothing_mm: float) -> float:
    """Return `spiculation`, or `nan` where the surround has no gradient.

    It is the mean of sin^2 of the angle between the gradient and the direction from the lesion's centroid, weighted by
    the gradient's magnitude, over the surround from three smoothings outside the border on. It is 0.5 where edges have
    no common direction, 1 where all are lines away from the lesion, and 0 where all are circles around it (radial
    edge-gradient analysis: Huo et al., Medical Physics 22, 1995; Karssemeijer and te Brake, IEEE Transactions on
    Medical Imaging 15, 1996).

    Parameters
    ----------
    patch
        Image and mask.
    surround
        (rows, columns): pixels around the lesion.
    smoothing_mm
        Standard deviation of the Gaussian before gradients.
    """
    smooth = _smoothed(patch, smoothing_mm)
    y_slope = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3)
    x_slope = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3)
    # The smoothed edge of the lesion itself is a circle around it, and no spicule.
    around = surround & (border_distance(patch.mask) > 3 * smoothing_mm / patch.spacing_mm)
    centre = centre_of(patch.mask)
    y, x = (places + 0.5 - middle for places, middle in zip(np.nonzero(around), centre, strict=True))
    gy, gx = y_slope[around].astype(np.float64), x_slope[around].astype(np.float64)
    strength = np.hypot(gy, gx)
    radial = (gy * y + gx * x) / np.maximum(np.hypot(y, x), 1e-12)
    weight = float(strength.sum())
    tangential = strength - radial**2 / np.maximum(strength, 1e-12)
    return float(tangential.sum() / weight) if weight else math.nan


def _smoothed(patch: LesionPatch, smoothing_mm: float) -> npt.NDArray[np.float32]:
    """Return the image (rows, columns) as parts of full white after a Gaussian of this standard deviation."""
    smooth = cv2.GaussianBlur(patch.image, (0, 0), smoothing_mm / patch.spacing_mm)
    return np.asarray(smooth / np.float32(FULL_SCALE))


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
