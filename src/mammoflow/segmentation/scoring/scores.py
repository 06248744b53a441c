"""Scores of masks against their reference, and the floor that any mask is held against.

A mask that shares no pixel with its reference is missed: its overlap scores are 0, so that it stays in every mean.
Distances between surfaces are not defined (NaN) where one of the two masks is empty. Where both are empty the overlap
scores are 1, and distances and errors 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from mammoflow.segmentation.scoring.surfaces import CutMask, hausdorff_95_and_mean

Masks = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]


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


@dataclass(frozen=True)
class Scores:
    """How N masks compare with their references; NaN where a score is not defined.

    Attributes
    ----------
    dice, iou
        (N,) overlap, 0..1.
    precision, recall
        (N,) share of the mask's pixels that are on the reference, and of the reference's that are on the mask; 0 where
        the mask is missed, also where one of the two is empty.
    pixel_accuracy
        (N,) share of all pixels of the image on which mask and reference agree. Most of a mammogram is background, so
        it is close to 1 for any small mask, an empty one included.
    hd95_mm, surface_distance_mm
        (N,) 95th percentile of the Hausdorff distance and average symmetric surface distance; see `surfaces`.
    area_mm2
        (N,) of the mask.
    area_error_mm2, area_error_share
        (N,) area of the mask less that of the reference, and the same in shares of the reference's area; the share is
        not defined for an empty reference.
    missed
        (N,) True where mask and reference share no pixel though one of them has some.
    """

    dice: FloatArray
    iou: FloatArray
    precision: FloatArray
    recall: FloatArray
    pixel_accuracy: FloatArray
    hd95_mm: FloatArray
    surface_distance_mm: FloatArray
    area_mm2: FloatArray
    area_error_mm2: FloatArray
    area_error_share: FloatArray
    missed: npt.NDArray[np.bool_]

    def columns(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the scores by the names of their columns."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def score_masks(masks: Masks, references: Sequence[CutMask], against_mask: Sequence[bool] | None = None) -> Scores:
    """Score masks against references on the same grid.

    Parameters
    ----------
    masks
        (N, height, width).
    references
        N references, with the spacing of the grid; one may belong to several masks.
    against_mask
        Whether each reference is a mask. Against a box only the mask's own area and whether it was missed are defined;
        everything else is NaN. None: all are masks.
    """
    pixels = masks.shape[1] * masks.shape[2]
    flags = [True] * len(references) if against_mask is None else against_mask
    rows = [
        _score(CutMask.of(mask, each.spacing), each, pixels, with_distances)
        for mask, each, with_distances in zip(masks, references, flags, strict=True)
    ]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(fields(Scores)))
    columns = {field.name: table[:, place].copy() for place, field in enumerate(fields(Scores))}
    if against_mask is not None:
        against_box = ~np.asarray(against_mask, dtype=np.bool_)
        for name in set(columns) - {"area_mm2", "missed"}:
            columns[name][against_box] = np.nan
    missed = columns.pop("missed") > 0
    return Scores(**columns, missed=missed)


def _score(mask: CutMask, reference: CutMask, pixels: int, with_distances: bool) -> tuple[float, ...]:
    """Return the scores of one mask in the order of the fields of `Scores`; distances are slow to compute."""
    shared, total = mask.shared(reference), mask.area + reference.area
    united = total - shared
    pixel_mm2 = reference.spacing[0] * reference.spacing[1]
    error = mask.area - reference.area
    empty = 1.0 if total == 0 else 0.0
    share = error / reference.area if reference.area else (float("nan") if total else 0.0)
    return (
        2 * shared / total if total else empty,
        shared / united if united else empty,
        shared / mask.area if mask.area else empty,
        shared / reference.area if reference.area else empty,
        1 - (united - shared) / pixels,
        *(hausdorff_95_and_mean(mask, reference) if with_distances else (float("nan"),) * 2),
        mask.area * pixel_mm2,
        error * pixel_mm2,
        share,
        float(total > 0 and shared == 0),
    )


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


def not_empty(mask: Masks, box: npt.NDArray[np.floating]) -> Masks:
    """Return the mask (height, width) of a lesion, or every pixel that its box touches where the mask has none.

    A box smaller than a pixel (y0, x0, y1, x1 in canonical pixels, half-open) may hold the centre of none.
    """
    if mask.any():
        return mask
    return box_mask(np.concatenate([np.floor(box[:2]), np.ceil(box[2:])]), (mask.shape[0], mask.shape[1]))


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
