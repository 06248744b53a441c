"""Overlap of masks with their reference, and the floor that any mask is held against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Overlap:
    """How N masks overlap their references.

    Attributes
    ----------
    dice, iou
        (N,) in 0..1; 1 where mask and reference are both empty.
    area
        (N,) pixels of each mask.
    missed
        (N,) True where mask and reference share no pixel though one of them has some.
    """

    dice: npt.NDArray[np.float64]
    iou: npt.NDArray[np.float64]
    area: npt.NDArray[np.int64]
    missed: npt.NDArray[np.bool_]


def overlap(masks: Masks, references: Masks) -> Overlap:
    """Score masks (N, height, width) against references (N, height, width), or (1, height, width) shared by all."""
    area = np.count_nonzero(masks, axis=(1, 2))
    shared = np.count_nonzero(masks & references, axis=(1, 2))
    total = area + np.count_nonzero(references, axis=(1, 2))
    some = total > 0
    dice = np.divide(2 * shared, total, out=np.ones(len(masks)), where=some)
    iou = np.divide(shared, total - shared, out=np.ones(len(masks)), where=some)
    return Overlap(dice, iou, area.astype(np.int64), some & (shared == 0))


def ellipse_in_box(box: npt.NDArray[np.floating], size: tuple[int, int]) -> Masks:
    """Return the ellipse inscribed in a box, the floor of box-prompted segmentation.

    Parameters
    ----------
    box
        (4,): y0, x0, y1, x1 in canonical pixels, half-open.
    size
        (height, width) of the mask.

    Returns
    -------
    ndarray
        (height, width) bool: pixels whose centre lies in the ellipse.
    """
    y0, x0, y1, x1 = (float(value) for value in box)
    y = (np.arange(size[0]) + 0.5 - (y0 + y1) / 2) / max((y1 - y0) / 2, 1e-9)
    x = (np.arange(size[1]) + 0.5 - (x0 + x1) / 2) / max((x1 - x0) / 2, 1e-9)
    return np.asarray(y[:, None] ** 2 + x[None, :] ** 2 <= 1)


def box_mask(box: npt.NDArray[np.floating], size: tuple[int, int]) -> Masks:
    """Return the pixels (height, width) whose centre lies in a box (y0, x0, y1, x1), half-open."""
    y0, x0, y1, x1 = (float(value) for value in box)
    y, x = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    return ((y >= y0) & (y < y1))[:, None] & ((x >= x0) & (x < x1))[None, :]


def mask_boxes(masks: Masks, otherwise: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the box (N, 4) x0, y0, x1, y1 around each mask (N, height, width), half-open.

    Where a mask is empty its box is taken from `otherwise` (N, 4).
    """
    boxes = otherwise.copy()
    for index, mask in enumerate(masks):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if rows.size:
            boxes[index] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes
