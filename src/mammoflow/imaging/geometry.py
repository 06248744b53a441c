"""Boxes, masks and grids in physical units; every stage converts between canonical image and patch with this module.

Coordinates are (row, column) = (y, x); a box is half-open; pixel i covers [i, i + 1). The row of a patch holds its top
left corner in canonical pixels and its spacing, so a shift and a scale on each axis relate the two grids.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Box = tuple[float, float, float, float]
"""y0, x0, y1, x1 in pixels, half-open."""
Row = Mapping[str, Any]
"""A row of a table, as a dictionary or a pandas series."""


def box_of(mask: Mask) -> tuple[int, int, int, int] | None:
    """Return the half-open box (y0, x0, y1, x1) around a mask (height, width), or None where the mask is empty."""
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    return (y, x, y + height, x + width) if width else None


def longest_diameter_mm(mask: Mask, spacing: float | tuple[float, float]) -> float:
    """Return the longest distance between two points of a mask: its maximum Feret diameter.

    Parameters
    ----------
    mask
        (height, width); a pixel counts as a square, so the diameter of a single pixel is its diagonal.
    spacing
        Millimetres per pixel: one number, or one for rows and one for columns.

    Returns
    -------
    float
        Millimetres; nan where the mask is empty.
    """
    box = box_of(mask)
    if box is None:
        return math.nan
    y0, x0, y1, x1 = box
    inside = mask[y0:y1, x0:x1]
    # Only the outermost pixels of each row can be corners of the convex hull.
    rows = np.flatnonzero(inside.any(axis=1))
    left = inside[rows].argmax(axis=1)
    right = inside.shape[1] - inside[rows, ::-1].argmax(axis=1)
    corners = np.concatenate([np.stack([rows + step, edge], axis=1) for step in (0, 1) for edge in (left, right)])
    hull = cv2.convexHull(corners.astype(np.int32))[:, 0] * np.broadcast_to(np.asarray(spacing, dtype=np.float64), 2)
    differences = hull[:, None] - hull[None]
    return float(np.sqrt((differences**2).sum(axis=2).max()))


def crop(image: npt.NDArray[Any], box: Box, margin: float = 0.0, fill: float = 0.0) -> npt.NDArray[Any]:
    """Cut a box out of an image (height, width, ...); the part of the box outside the image is filled.

    Parameters
    ----------
    image
        Any array with rows and columns first.
    box
        Half-open, in pixels; fractions are rounded outwards to whole pixels. It may extend beyond the image.
    margin
        Pixels added on each side before rounding.
    fill
        Value outside the image.

    Raises
    ------
    ValueError
        If the box with its margin is empty.
    """
    y0, x0 = math.floor(box[0] - margin), math.floor(box[1] - margin)
    y1, x1 = math.ceil(box[2] + margin), math.ceil(box[3] + margin)
    if y1 <= y0 or x1 <= x0:
        raise ValueError(f"box {box} with margin {margin} is empty; expected y1 > y0 and x1 > x0")
    height, width = image.shape[:2]
    inner_y0, inner_x0, inner_y1, inner_x1 = max(y0, 0), max(x0, 0), min(y1, height), min(x1, width)
    if (inner_y0, inner_x0, inner_y1, inner_x1) == (y0, x0, y1, x1):
        return image[y0:y1, x0:x1].copy()
    cut = np.full((y1 - y0, x1 - x0, *image.shape[2:]), fill, dtype=image.dtype)
    if inner_y1 > inner_y0 and inner_x1 > inner_x0:
        inside = image[inner_y0:inner_y1, inner_x0:inner_x1]
        cut[inner_y0 - y0 : inner_y1 - y0, inner_x0 - x0 : inner_x1 - x0] = inside
    return cut


def resize(image: npt.NDArray[Any], shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Resize an image or mask to another number of pixels over the same extent.

    Where both axes shrink, each new pixel is the average over its area; otherwise values are interpolated linearly. A
    boolean mask stays boolean: a new pixel is set where the mask covers more than half of it.
    """
    if image.shape[:2] == shape:
        return image.copy()
    if image.dtype == np.bool_:
        return np.asarray(resize(image.view(np.uint8) * np.uint8(254), shape) > 127)
    shrinks = shape[0] <= image.shape[0] and shape[1] <= image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (shape[1], shape[0]), interpolation=interpolation))


def resample(image: npt.NDArray[Any], spacing_in: float, spacing_out: float) -> npt.NDArray[Any]:
    """Resample an image or mask (height, width) from one pixel spacing to another, in millimetres.

    The extent is kept and the number of pixels is rounded, so the new spacing is wrong by at most half a pixel over the
    whole side. A coarser spacing averages areas; a finer one interpolates linearly.
    """
    scale = spacing_in / spacing_out
    shape = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
    return resize(image, shape)


def _patch_scale(lesion: Row, image: Row) -> tuple[float, float]:
    """Return the canonical pixels per patch pixel, for rows and columns."""
    spacing = float(lesion["patch_spacing_mm"])
    return spacing / float(image["row_spacing_mm"]), spacing / float(image["column_spacing_mm"])


def sample_mask(mask: Mask, corner: tuple[float, float], scale: tuple[float, float], shape: tuple[int, int]) -> Mask:
    """Sample a mask at the pixel centres of another grid, with linear interpolation.

    Parameters
    ----------
    mask
        (height, width).
    corner
        Top left corner of the other grid, in pixels of the mask (y, x).
    scale
        Pixels of the mask that one pixel of the other grid covers (rows, columns).
    shape
        (height, width) of the other grid; its pixels outside the mask are False.
    """
    # In OpenCV the centre of pixel i has the coordinate i; here it has i + 0.5.
    matrix = np.array(
        [
            [scale[1], 0.0, corner[1] + 0.5 * scale[1] - 0.5],
            [0.0, scale[0], corner[0] + 0.5 * scale[0] - 0.5],
        ]
    )
    levels = mask.view(np.uint8) * np.uint8(254)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    # The edge is replicated, so that interpolation does not weaken pixels inside; then pixels outside are cleared.
    sampled = cv2.warpAffine(levels, matrix, (shape[1], shape[0]), flags=flags, borderMode=cv2.BORDER_REPLICATE) > 127
    for axis in (0, 1):
        centres = corner[axis] + (np.arange(shape[axis]) + 0.5) * scale[axis]
        outside = (centres < 0) | (centres >= mask.shape[axis])
        sampled[outside if axis == 0 else (slice(None), outside)] = False
    return np.asarray(sampled)


def mask_to_patch(mask: Mask, lesion: Row, image: Row, shape: tuple[int, int]) -> Mask:
    """Sample a canonical mask (height, width) on the grid of the lesion's patch.

    Parameters
    ----------
    mask
        On the canonical grid of the image.
    lesion, image
        Rows of the CANONICAL_LESIONS and CANONICAL_IMAGES tables.
    shape
        (height, width) of the patch; its pixels outside the image are False.
    """
    corner = (float(lesion["patch_y0"]), float(lesion["patch_x0"]))
    return sample_mask(mask, corner, _patch_scale(lesion, image), shape)


def shrink_mask(mask: Mask, shape: tuple[int, int]) -> Mask:
    """Shrink a mask to fewer pixels over the same extent; a tiny lesion never vanishes.

    A new pixel is set where the mask covers more than half of it. If no pixel is covered that far, the one with the
    largest covered share is set.
    """
    small = np.zeros(shape, dtype=bool)
    box = box_of(mask)
    if box is None:
        return small
    rows, columns = shape[0] / mask.shape[0], shape[1] / mask.shape[1]
    y0, x0 = math.floor(box[0] * rows), math.floor(box[1] * columns)
    y1, x1 = min(math.ceil(box[2] * rows), shape[0]), min(math.ceil(box[3] * columns), shape[1])
    inside = mask[box[0] : box[2], box[1] : box[3]]
    row_edges = np.arange(y0, y1 + 1) / rows - box[0]
    column_edges = np.arange(x0, x1 + 1) / columns - box[1]
    share = covered_share(inside, row_edges, column_edges)
    window = small[y0:y1, x0:x1]
    window[:] = share > 0.5
    if not window.any():
        window[np.unravel_index(int(share.argmax()), share.shape)] = True
    return small


def covered_share(
    mask: Mask, row_edges: npt.NDArray[np.floating[Any]], column_edges: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.float32]:
    """Return the exact share of each cell of another grid that a mask covers.

    Parameters
    ----------
    mask
        (height, width); outside it nothing is covered.
    row_edges, column_edges
        Increasing edges of the other grid's rows (n + 1,) and columns (m + 1,), in pixels of the mask.

    Returns
    -------
    ndarray
        (n, m) float32, 0 to 1.
    """
    by_rows = _mean_between(mask.astype(np.float32), row_edges)
    return _mean_between(np.ascontiguousarray(by_rows.T), column_edges).T


def _mean_between(values: npt.NDArray[np.float32], edges: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """Average rows (rows, columns) between consecutive fractional edges; outside the rows the value is 0."""
    total = np.zeros((values.shape[0] + 1, values.shape[1]), dtype=np.float32)
    np.cumsum(values, axis=0, out=total[1:])
    inside = np.clip(edges, 0, values.shape[0])
    below = np.minimum(inside.astype(np.intp), values.shape[0] - 1)
    fraction = (inside - below).astype(np.float32)[:, None]
    at_edge = total[below] * (1 - fraction) + total[below + 1] * fraction
    means: npt.NDArray[np.float32] = np.diff(at_edge, axis=0) / np.diff(edges).astype(np.float32)[:, None]
    return means
