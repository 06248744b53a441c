"""Points for prompts: the deepest of a mask, random ones inside it, and random ones beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mammoflow.errors import StudyError
from mammoflow.imaging.geometry import Mask, box_of
from mammoflow.segmentation.scoring.scores import box_mask, ellipse_in_box, not_empty
from mammoflow.storage.files import read_mask

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
    from scipy.ndimage import distance_transform_edt  # slow to import, and not every prompt needs it

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
    neighbours: Mask | None,
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
    neighbours
        (height, width): all other lesions of the image; None where there is none.
    box
        (4,): y0, x0, y1, x1 in pixels. Points beside the lesion are drawn in it, outside the mask and outside the
        neighbours, so that none of them lies on a lesion.
    spacing_mm
        Row and column spacing.
    counts
        Points on the lesion, and beside it; none is drawn where lesions fill the box.
    exact
        Whether the first point is the deepest one; else all are drawn.
    generator
        Of this prompt alone, so that neither the order nor the number of other prompts changes its points.
    """
    positive, negative = counts
    inside = [deepest_point(mask, spacing_mm)] if exact else []
    inside += random_points(mask, positive - len(inside), generator)
    beside = random_points(_outside(mask, neighbours, box), negative, generator) if negative else []
    return [*((y, x, 1) for y, x in inside), *((y, x, 0) for y, x in beside)]


def lesion_region(path: Path | None, box: npt.NDArray[np.float64], size: tuple[int, int]) -> Mask:
    """Return the region (height, width) of a lesion: its mask, or the ellipse inscribed in its box where it has none.

    Parameters
    ----------
    path
        PNG file of the mask on the grid of the canonical image; None for a lesion that has a box alone.
    box
        (4,): y0, x0, y1, x1 in canonical pixels.
    size
        Height and width of the image.

    Raises
    ------
    StudyError
        If the mask does not have the size of the image.
    """
    mask = ellipse_in_box(box, size) if path is None else read_mask(path)
    if mask.shape != size:
        raise StudyError(f"mask {path} is {mask.shape}, expected {size}; run the image stage again")
    return not_empty(mask, box)


def united(regions: Iterable[Mask]) -> Mask | None:
    """Return the union of regions (height, width); None where there is none."""
    union: Mask | None = None
    for region in regions:
        union = region if union is None else union | region
    return union


def _outside(mask: Mask, neighbours: Mask | None, box: npt.NDArray[np.float64]) -> Mask:
    """Return the pixels (height, width) of the box that lie on no lesion."""
    outside = box_mask(box, (mask.shape[0], mask.shape[1])) & ~mask
    return outside if neighbours is None else outside & ~neighbours
