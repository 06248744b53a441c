"""Places for names beside the points of a figure, so that no name covers another one, a point or an interval."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mammoflow.evaluation.metrics import FloatArray

STEP = 3.0
"""Distance between the places that are tried near a point, in the unit of the figure; further away it is doubled."""

GAP = 4.0
"""Least distance of a name from its point."""

SIDE = 2.0
"""A name above, below or left of its point has to be this much nearer than one on the right."""

CROSSING = 6.0
"""A name whose line to its point crosses an interval has to be this much nearer."""

WIDER = np.array([-STEP, 0.0, STEP, 0.0])
"""Makes a thin interval so wide that a place on a line is inside it."""

NEAR = 50.0
"""Places up to this far from a point are tried first."""

SPOILED = 1e4
"""Cost of a place where a name or its line crosses another name; covering something costs a thousand times more."""

ON_LINE = np.linspace(0.0, 1.0, 24)
"""Places on the line from a point to its name that must be free of other names."""


def name_places(points: FloatArray, sizes: FloatArray, taken: FloatArray, room: FloatArray) -> FloatArray:
    """Return the lower left corner of each name, as near to its point as free room allows.

    Parameters
    ----------
    points
        (n, 2) x and y of the points.
    sizes
        (n, 2) width and height of the names.
    taken
        (m, 4) left, bottom, right and top of what no name may cover, such as points and intervals.
    room
        (4,) left, bottom, right and top of where names may be.

    Returns
    -------
    ndarray
        (n, 2) in the unit of the points. A name overlaps another thing only if none of the tried places is free.
    """
    corners = np.zeros((len(points), 2))
    names, lines = np.empty((0, 4)), np.empty((0, 2))
    # those in the middle of a crowd are far from their points in any case, so the others come first
    crowd = np.linalg.norm(points[:, None] - points[None], axis=2).sum(axis=1) if len(points) else np.empty(0)
    for place in np.argsort(-crowd, kind="stable"):
        point, size = points[place], sizes[place]
        for reach, step in ((NEAR, STEP), (np.inf, 2 * STEP)):
            tried = _corners(size, room, step)
            distance = np.linalg.norm(np.clip(point, tried, tried + size) - point, axis=1)
            tried = tried[distance <= reach]
            cost = _costs(point, np.hstack([tried, tried + size]), taken, names, lines)
            if len(tried) and cost.min() < SPOILED:
                break
        corners[place] = tried[int(np.argmin(cost))]
        box = np.concatenate([corners[place], corners[place] + size])
        names = np.vstack([names, box])
        lines = np.vstack([lines, point + ON_LINE[:, None] * (np.clip(point, box[:2], box[2:]) - point)])
    return corners


def _costs(point: FloatArray, boxes: FloatArray, taken: FloatArray, names: FloatArray, lines: FloatArray) -> FloatArray:
    """Return how bad each place (a, 4) of a name is; from SPOILED on it covers or crosses something, or is too near."""
    nearest = np.clip(point, boxes[:, :2], boxes[:, 2:])
    distance = np.linalg.norm(nearest - point, axis=1)
    beside = np.where(boxes[:, 0] > point[0], 0.0, SIDE) + np.abs(boxes[:, 1::2].mean(axis=1) - point[1]) / 3
    covered = _overlaps(boxes, np.vstack([taken, names])).sum(axis=1)
    crossed = _crosses(point, nearest, names) + _inside(lines, boxes).sum(axis=1) + (distance < GAP)
    crossing = CROSSING * _crosses(point, nearest, taken + WIDER)
    costs: FloatArray = distance + beside + crossing + SPOILED * (crossed + 1000 * covered)
    return costs


def _corners(size: FloatArray, room: FloatArray, step: float) -> FloatArray:
    """Return the corners that are tried (places, 2)."""
    across, up = (
        np.arange(low, max(high - extent, low) + step / 2, step)
        for low, high, extent in zip(room[:2], room[2:], size, strict=True)
    )
    return np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)


def _overlaps(boxes: FloatArray, others: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell which boxes (a, 4) share area with which others (b, 4): (a, b)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray((low < high).all(axis=2))


def _inside(points: FloatArray, boxes: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell which points (b, 2) are inside which boxes (a, 4): (a, b)."""
    within = (points[None] > boxes[:, None, :2]) & (points[None] < boxes[:, None, 2:])
    return np.asarray(within.all(axis=2))


def _crosses(point: FloatArray, ends: FloatArray, boxes: FloatArray) -> npt.NDArray[np.int64]:
    """Count the boxes (b, 4) that the lines from a point to some ends (a, 2) run through: (a,)."""
    met = np.zeros((len(boxes), len(ends)), dtype=np.bool_)
    for share in ON_LINE:
        met |= _inside(point + share * (ends - point), boxes)
    count: npt.NDArray[np.int64] = met.sum(axis=0)
    return count
