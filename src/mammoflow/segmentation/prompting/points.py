"""Points for prompts: the deepest of a mask, random ones inside it, and random ones beside it."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from mammoflow.imaging.geometry import Mask, box_of
from mammoflow.segmentation.scoring.scores import box_mask

Point = tuple[float, float, int]
"""y, x in canonical pixels, and 1 where it lies on the lesion, 0 where it does not."""


def points_text(points: list[Point]) -> str:
    """Return points as the text of the table's column `points`: JSON, a list of [y, x, label]; "" for none."""
    return json.dumps([[round(y, 3), round(x, 3), label] for y, x, label in points]) if points else ""


def read_points(text: str) -> list[Point]:
    """Read the text of the table's column `points`."""
    return [(float(y), float(x), int(label)) for y, x, label in json.loads(text)] if text else []


def deepest_point(mask: Mask, spacing_mm: tuple[float, float]) -> tuple[float, float]:
    """Return the centre (y, x) of the pixel that lies farthest from the outside of a mask, in pixels.

    Unlike the centre of gravity it always lies inside. What lies beyond the image is outside; among equals the first
    pixel, row by row, is taken.

    Parameters
    ----------
    mask
        (height, width) with at least one pixel.
    spacing_mm
        Row and column spacing, so that the distance is one on the film.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    box = box_of(mask)
    if box is None:
        raise ValueError("an empty mask has no deepest point")
    y0, x0, y1, x1 = box
    depth = distance_transform_edt(np.pad(mask[y0:y1, x0:x1], 1), sampling=spacing_mm)
    y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return float(y0 + int(y) - 1 + 0.5), float(x0 + int(x) - 1 + 0.5)


def random_points(region: Mask, count: int, generator: np.random.Generator) -> list[tuple[float, float]]:
    """Draw points (y, x) evenly over a region (height, width); none where the region is empty."""
    pixels = np.flatnonzero(region)
    if not pixels.size:
        return []
    y, x = np.unravel_index(generator.choice(pixels, size=count), region.shape)
    places = np.stack([y, x], axis=1) + generator.random((count, 2))
    return [(float(row), float(column)) for row, column in places]


def lesion_points(
    mask: Mask,
    box: npt.NDArray[np.float64],
    spacing_mm: tuple[float, float],
    counts: tuple[int, int],
    exact: bool,
    generator: np.random.Generator,
) -> list[Point]:
    """Return the points of one prompt.

    Parameters
    ----------
    mask
        (height, width) of the lesion.
    box
        (4,): y0, x0, y1, x1 in pixels; points beside the lesion are drawn in it, outside the mask.
    spacing_mm
        Row and column spacing.
    counts
        Points on the lesion, and beside it; none is drawn beside a lesion that fills its box.
    exact
        Whether the first point is the deepest one; else all are drawn.
    generator
        Of this prompt alone, so that neither the order nor the number of other prompts changes its points.
    """
    positive, negative = counts
    inside = [deepest_point(mask, spacing_mm)] if exact else []
    inside += random_points(mask, positive - len(inside), generator)
    size = (mask.shape[0], mask.shape[1])
    beside = random_points(box_mask(box, size) & ~mask, negative, generator) if negative else []
    return [*((y, x, 1) for y, x in inside), *((y, x, 0) for y, x in beside)]
