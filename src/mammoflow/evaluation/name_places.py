"""Places for names beside the points of a figure, so that no name covers another one, a point or an interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mammoflow.evaluation.metrics import FloatArray

STEP = 3.0
"""Distance between the places that are tried, in the unit of the figure."""

GAP = 4.0
"""Least distance of a name from its point."""

SIDE = 2.0
"""A name above, below or left of its point has to be this much nearer than one on the right."""

CROSSING = 6.0
"""A name whose line to its point crosses an interval has to be this much nearer."""

WIDER = np.array([-STEP, 0.0, STEP, 0.0])
"""Makes a thin interval so wide that a place on a line is inside it."""

ON_LINE = np.linspace(0.0, 1.0, 12)
"""Places on the line from a point to its name that must be free of other names."""


def name_places(points: FloatArray, sizes: FloatArray, taken: FloatArray, room: Sequence[float]) -> FloatArray:
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
        Left, bottom, right and top of where names may be.

    Returns
    -------
    ndarray
        (n, 2) in the unit of the points. A name overlaps another thing only if there is no free room at all.
    """
    corners = np.zeros((len(points), 2))
    names, lines = np.empty((0, 4)), np.empty((0, 2))
    # names in the middle of a crowd have the fewest places, so they come first
    crowd = np.linalg.norm(points[:, None] - points[None], axis=2).sum(axis=1) if len(points) else np.empty(0)
    for place in np.argsort(crowd, kind="stable"):
        point, size = points[place], sizes[place]
        tried = _corners(size, room)
        boxes = np.hstack([tried, tried + size])
        nearest = np.clip(point, boxes[:, :2], boxes[:, 2:])
        distance = np.linalg.norm(nearest - point, axis=1)
        beside = np.where(boxes[:, 0] > point[0], 0.0, SIDE) + np.abs(boxes[:, 1::2].mean(axis=1) - point[1]) / 3
        cost = distance + beside + CROSSING * _crosses(point, nearest, taken + WIDER)
        covered = _overlaps(boxes, np.vstack([taken, names])).sum(axis=1)
        crossed = _crosses(point, nearest, names) + _inside(lines, boxes).sum(axis=1)
        best = int(np.argmin(cost + 1e6 * covered + 1e3 * crossed + 1e3 * (distance < GAP)))
        corners[place] = tried[best]
        names = np.vstack([names, boxes[best]])
        lines = np.vstack([lines, point + ON_LINE[:, None] * (nearest[best] - point)])
    return corners


def _corners(size: FloatArray, room: Sequence[float]) -> FloatArray:
    """Return the corners that are tried (places, 2)."""
    across, up = (
        np.arange(low, max(high - extent, low) + STEP / 2, STEP)
        for low, high, extent in zip(room[:2], room[2:], size, strict=True)
    )
    return np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)


def _overlaps(boxes: FloatArray, others: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell which boxes (a, 4) share area with which others (b, 4): (a, b)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    free: npt.NDArray[np.bool_] = (low < high).all(axis=2)
    return free


def _inside(points: FloatArray, boxes: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell which points (b, 2) are inside which boxes (a, 4): (a, b)."""
    within = (points[None] > boxes[:, None, :2]) & (points[None] < boxes[:, None, 2:])
    found: npt.NDArray[np.bool_] = within.all(axis=2)
    return found


def _crosses(point: FloatArray, ends: FloatArray, boxes: FloatArray) -> npt.NDArray[np.int64]:
    """Count the boxes (b, 4) that the lines from a point to some ends (a, 2) run through: (a,)."""
    met = np.zeros((len(boxes), len(ends)), dtype=np.bool_)
    for share in ON_LINE:
        met |= _inside(point + share * (ends - point), boxes)
    count: npt.NDArray[np.int64] = met.sum(axis=0)
    return count
