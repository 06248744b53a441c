"""The pectoral muscle on an MLO view: a straight line, refined to a path along the muscle's edge.

The straight line follows Karssemeijer (Physics in Medicine and Biology 43:365-378, 1998). In the upper corner at the
chest wall, each pixel whose gradient has the direction of a muscle's edge votes with it in Hough space; lines that cut
off an implausible corner do not count. The path is the one of least cost in a band around the line. Dynamic programming
finds it, as Domingues et al. (IbPRIA 2009) trace edges of the pectoral muscle with shortest paths. The muscle is the
area between the path and the corner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.imaging.geometry import Mask, box_of, resize
from mammoflow.imaging.grey import WHITE, Grey

Plane = npt.NDArray[np.float32]

WORKING_SIDE = 256
SMOOTHING = 0.012  # of the longest side: standard deviation before gradients are taken
ANGLES = np.deg2rad(np.arange(8, 61, 1.0))  # between the muscle's edge and the chest wall
REACH_UP = 0.95  # of the breast's width at the top: the edge meets the upper border within this distance
REACH_DOWN = 1.5  # of the breast's height: it meets the chest wall, or its continuation below the film, within this
SHORTEST = 0.12  # of the breast's height: the shortest line
BAND = 0.07  # of the longest side: largest distance between path and line
STEEPEST = 1  # pixels: largest sideways move of the path from one step to the next
DETOUR = 0.35  # cost of such a move, in median gradients
SMALLEST_STEP = 0.03  # of the breast's range of levels: the muscle is at least this much brighter than adjacent tissue
CLEAR_SHARE = 0.6  # share of the path along which it must be brighter
SIDE_VIEWS = ("MLO", "LMO", "ML", "LM", "SIO")


@dataclass(frozen=True)
class Pectoral:
    """The muscle on one film.

    Attributes
    ----------
    mask
        (height, width): the muscle within the breast region.
    angle_deg
        Between the straight line and the chest wall, which counts as vertical.
    top, side
        Distances from the corner to the points where the line meets the upper edge of the film and the chest wall, in
        pixels.
    contrast
        Difference in brightness between the muscle and the tissue beyond its edge, as share of the breast's range of
        levels.
    """

    mask: Mask
    angle_deg: float
    top: float
    side: float
    contrast: float


def find_pectoral(image: Grey, breast: Mask) -> Pectoral | None:
    """Find the pectoral muscle on a film of a side view (height, width), or return None where none is clear.

    Parameters
    ----------
    image
        Dark is background; upright, with the patient's head at the top.
    breast
        Region of the breast, including the muscle.
    """
    box = box_of(breast)
    if box is None:
        return None
    scale = min(1.0, WORKING_SIDE / max(image.shape))
    shape = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
    small, region = resize(image, shape), resize(breast, shape)
    # The breast is at the side of the chest wall; the image is mirrored where that is the right side.
    half = breast.shape[1] // 2
    turned = np.count_nonzero(breast[:, -half:]) > np.count_nonzero(breast[:, :half])
    if turned:
        small, region = np.ascontiguousarray(small[:, ::-1]), np.ascontiguousarray(region[:, ::-1])
    result = _find(small.astype(np.float32) / np.float32(WHITE), region)
    if result is None:
        return None
    muscle, angle, top, side, contrast = result
    muscle = muscle[:, ::-1] if turned else muscle
    whole = resize(np.ascontiguousarray(muscle), (image.shape[0], image.shape[1])) & breast
    if not whole.any():
        return None
    return Pectoral(whole, math.degrees(angle), top / scale, side / scale, contrast)


def _find(level: Plane, region: Mask) -> tuple[Mask, float, float, float, float] | None:
    """Return muscle, angle, the line's two ends and contrast on the reduced film, the chest wall at its left."""
    box = box_of(region)
    if box is None or box[2] - box[0] < 32 or box[3] - box[1] < 16:
        return None
    y0, x0, y1, x1 = box
    level, inside = level[y0:y1, x0:x1], region[y0:y1, x0:x1]
    smooth = cv2.GaussianBlur(level, (0, 0), max(1.0, SMOOTHING * max(level.shape)))
    down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    right = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    # Gradients at the skin and at film edges are stronger than those of the muscle; a band along them has no vote.
    margin = max(2, round(0.02 * max(level.shape)))
    framed = np.pad(inside.astype(np.uint8), ((margin, 0), (margin, 0)), mode="edge")
    deep = cv2.erode(np.pad(framed, ((0, 1), (0, 1))), np.ones((2 * margin + 1,) * 2, np.uint8))
    votes = deep[margin:-1, margin:-1].astype(bool)
    line = _line(down, right, votes, inside)
    if line is None:
        return None
    angle, top = line
    edge = _path(down, right, votes, angle, top)
    muscle = _left_of(edge, level.shape) & inside
    contrast = _contrast(smooth, muscle, inside, angle, top)
    if contrast is None:
        return None
    placed = np.zeros(region.shape, dtype=bool)
    placed[y0:y1, x0:x1] = muscle
    return placed, angle, top + x0, top / math.tan(angle) + y0, contrast


def _line(down: Plane, right: Plane, votes: Mask, inside: Mask) -> tuple[float, float] | None:
    """Return angle and upper end (pixels from the corner) of the line with the most gradient across it."""
    height = inside.shape[0]
    at_top = np.flatnonzero(inside[: max(1, height // 20)].any(axis=0))
    width = float(at_top[-1] + 1) if at_top.size else float(inside.shape[1])
    strength = np.hypot(down, right)
    rows, columns = np.nonzero(votes & (strength > np.median(strength[votes]) if votes.any() else votes))
    tops = np.arange(4, max(5, int(REACH_UP * width)))
    best, chosen = 0.0, None
    if rows.size == 0:
        return None
    for angle in ANGLES:
        # From muscle to breast, brightness falls along the normal that points away from the corner.
        across = -(right[rows, columns] * math.cos(angle) + down[rows, columns] * math.sin(angle))
        met = np.rint(columns + rows * math.tan(angle)).astype(np.intp)
        total = np.bincount(met, np.maximum(across, 0), minlength=int(tops[-1]) + 1)[tops]
        down_to = tops / math.tan(angle)
        seen = np.minimum(down_to, height)
        possible = (down_to <= REACH_DOWN * height) & (seen >= SHORTEST * height)
        # The mean favours short lines and the sum long ones; the square root of the length is between the two.
        scores = np.where(possible, total / np.sqrt(seen / math.cos(angle)), 0)
        place = int(scores.argmax())
        if scores[place] > best:
            best, chosen = float(scores[place]), (float(angle), float(tops[place]))
    return chosen


def _path(down: Plane, right: Plane, votes: Mask, angle: float, top: float) -> npt.NDArray[np.float64]:
    """Return the points (n, 2) of row and column along the muscle's edge, from the top of the film to its lower end."""
    height, width = down.shape
    across = np.where(votes, -(right * math.cos(angle) + down * math.sin(angle)), 0).astype(np.float32)
    band = max(3, round(BAND * max(height, width)))
    length = int(min(top / math.tan(angle), height) / math.cos(angle))
    along, aside = np.arange(length + 1.0)[:, None], np.arange(-band, band + 1.0)[None, :]
    # The line runs down and towards the chest wall; positive offsets point away from the corner.
    rows = along * math.cos(angle) + aside * math.sin(angle)
    columns = top - along * math.sin(angle) + aside * math.cos(angle)
    strength = cv2.remap(across, columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_LINEAR)
    strength = np.maximum(strength, 0)
    typical = float(np.median(strength.max(axis=1)))
    offsets = _cheapest(-strength.astype(np.float64), DETOUR * typical) - band
    step = np.arange(length + 1)
    return np.stack([rows[step, offsets + band], columns[step, offsets + band]], axis=1)


def _cheapest(cost: npt.NDArray[np.float64], detour: float) -> npt.NDArray[np.intp]:
    """Return the column of the path of least cost in each row; it moves by at most one column from row to row."""
    steps, width = cost.shape
    total = cost[0].copy()
    came = np.zeros((steps, width), dtype=np.intp)
    for step in range(1, steps):
        padded = np.pad(total, STEEPEST, constant_values=np.inf)
        moves = np.stack([padded[shift : shift + width] + detour * (shift != 1) for shift in range(3)])
        choice = moves.argmin(axis=0)
        came[step] = np.arange(width) + choice - STEEPEST
        total = cost[step] + moves[choice, np.arange(width)]
    path = np.zeros(steps, dtype=np.intp)
    path[-1] = int(total.argmin())
    for step in range(steps - 1, 0, -1):
        path[step - 1] = came[step, path[step]]
    return path


def _left_of(edge: npt.NDArray[np.float64], shape: tuple[int, ...]) -> Mask:
    """Fill the area between the edge (n, 2) and the upper corner at the left."""
    first, last = edge[0], edge[-1]
    # Both ends of the path are extended to the border of the film.
    corner = [(-2.0, -2.0), (-2.0, first[1])]
    end = [(last[0], -2.0)]
    points = np.array([*corner, *edge.tolist(), *end])[:, ::-1]
    filled = np.zeros(shape, dtype=np.uint8)
    cv2.fillPoly(filled, [np.rint(points).astype(np.int32)[:, None]], 1)
    return filled.astype(bool)


def _contrast(smooth: Plane, muscle: Mask, inside: Mask, angle: float, top: float) -> float | None:
    """Return how much brighter the muscle is than adjacent tissue, or None where the difference is not clear."""
    width = max(3, round(0.03 * max(smooth.shape)))
    kernel = np.ones((2 * width + 1,) * 2, np.uint8)
    near = cv2.dilate(muscle.astype(np.uint8), kernel).astype(bool) & ~muscle & inside
    framed = np.pad(muscle.astype(np.uint8), ((width, 0), (width, 0)), mode="edge")
    core = cv2.erode(framed, kernel)[width:, width:].astype(bool)
    if not near.any() or not core.any():
        return None
    low, high = np.percentile(smooth[inside], (2, 98))
    spread = max(float(high - low), 1e-6)
    rows = np.flatnonzero(near.any(axis=1) & muscle.any(axis=1))
    differences = np.array([smooth[row][muscle[row]].mean() - smooth[row][near[row]].mean() for row in rows]) / spread
    clear = differences > SMALLEST_STEP
    if differences.size == 0 or clear.mean() < CLEAR_SHARE:
        return None
    return float(differences.mean())
