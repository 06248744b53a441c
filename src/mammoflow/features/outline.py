"""The outline of a lesion, and grey levels along lines across it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.imaging.geometry import Mask

Floats = npt.NDArray[np.float64]

POINTS = 128
"""Points on the outline, evenly spaced along it."""


@dataclass(frozen=True)
class Outline:
    """Points on the outer border of a lesion's largest piece, evenly spaced along it.

    Attributes
    ----------
    points
        (points, 2): y and x in pixels; the centre of pixel i is i + 0.5.
    normals
        (points, 2): directions away from the lesion, of length 1.
    piece
        (rows, columns): the pixels of that piece.
    """

    points: Floats
    normals: Floats
    piece: Mask


def outline_of(mask: Mask) -> Outline | None:
    """Return the outline of a mask (rows, columns), or None where its largest piece has no two rows and columns.

    The signed distance from the border, smoothed by one pixel, gives the outline as its zero level and the normals as
    its gradient, so that steps of the pixel grid do not count as spicules.
    """
    padded = np.pad(mask, 6)
    contours, _ = cv2.findContours(padded.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    border = max(contours, key=cv2.contourArea)
    contour = border[:, 0, ::-1].astype(np.float64)
    if np.ptp(contour, axis=0).min() < 1:
        return None
    filled = cv2.drawContours(np.zeros(padded.shape, np.uint8), [border], -1, 1, cv2.FILLED)
    piece = mask & (filled[6:-6, 6:-6] > 0)
    signed = signed_distance(padded)
    level = cv2.GaussianBlur(signed, (0, 0), 1.0)
    slope = np.stack([cv2.Sobel(level, cv2.CV_64F, 0, 1, ksize=3), cv2.Sobel(level, cv2.CV_64F, 1, 0, ksize=3)])
    # From the pixels of the border to the zero level of the distance, along its gradient.
    for _ in range(3):
        gradient = np.stack([sampled(plane, contour) for plane in slope], axis=1) / 8
        norm = np.maximum((gradient**2).sum(axis=1), 1e-6)
        contour = contour - (sampled(level, contour) / norm)[:, None].clip(-1, 1) * gradient
    closed = np.concatenate([contour, contour[:1]])
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    places = np.linspace(0, length[-1], POINTS, endpoint=False)
    points = np.stack([np.interp(places, length, closed[:, axis]) for axis in (0, 1)], axis=1)
    normals = np.stack([sampled(plane, points) for plane in slope], axis=1)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return Outline(points - 6 + 0.5, normals, piece)


def signed_distance(mask: Mask) -> Floats:
    """Return the distance from the border of a mask (rows, columns) in pixels: negative inside, positive outside."""
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.where(mask, 0.5 - inside, outside - 0.5), dtype=np.float64)


def sampled(image: npt.NDArray[np.floating], places: Floats) -> Floats:
    """Return the values of an image (rows, columns) at places (..., 2) by linear interpolation.

    Places are in the coordinates of OpenCV: the centre of pixel i is i. Outside the image its edge is repeated.
    """
    y, x = places[..., 0].astype(np.float32), places[..., 1].astype(np.float32)
    flat = cv2.remap(
        image.astype(np.float32),
        x.reshape(1, -1),
        y.reshape(1, -1),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(flat.reshape(y.shape), dtype=np.float64)


def profiles(
    image: npt.NDArray[np.floating], outline: Outline, reach_px: float, step_px: float, deepest_px: float
) -> tuple[Floats, Floats]:
    """Return grey levels along the normals of an outline.

    Lines that go further inside than the lesion is deep would leave it on its other side. So they repeat the grey level
    at the greatest depth.

    Parameters
    ----------
    image
        (rows, columns).
    outline
        Points and normals.
    reach_px
        How far the lines go to both sides of the outline.
    step_px
        Distance between samples.
    deepest_px
        Greatest depth inside the outline at which a grey level is taken.

    Returns
    -------
    tuple
        Distances from the outline in pixels (samples,), negative inside; and grey levels (points, samples).
    """
    count = max(1, round(reach_px / step_px))
    distances: Floats = np.arange(-count, count + 1, dtype=np.float64) * step_px
    taken = np.maximum(distances, -deepest_px)
    places = outline.points[:, None] - 0.5 + taken[None, :, None] * outline.normals[:, None]
    return distances, sampled(image, places)
