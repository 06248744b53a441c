"""Bright and black borders of a scanned film: scanner bed, unexposed edges, adhesive strips, corners cut off."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.imaging.geometry import Mask
from mammoflow.imaging.grey import WHITE, Grey

Plane = npt.NDArray[np.float32]

DEEPEST_BORDER = 0.06  # of the side: film edges and narrow scanner frames are not wider
BORDER_WIDTH = 0.012  # of the side: the brightness must fall within this distance at the edge of a border
BORDER_STEP = 0.08  # of white: it must fall at least this much
BORDER_CONTRAST = 0.15  # of the film's range of levels: the same, where this is less
BORDER_SHARE = 0.5  # share of a line whose brightness must fall for the line to belong to the border
FRAME_LEVEL = 0.9  # of white: a frame of bare scanner light or a cut corner is at least this bright
FRAME_SPREAD = 0.02  # of white: and its levels vary less than this
FRAME_SURROUND = 0.3  # of white: levels below this count as dark around it
FRAME_DARK_SHARE = 0.25  # share of its outline that must touch the dark
DEEPEST_FRAME = 0.15  # of the side: the widest frame
BED_LEVEL = 0.02  # of white: a black scanner bed is at most this bright
BED_STEP = 0.03  # of white: the film is at least this much brighter than the bed
FLAT_SIDE = 7  # pixels: side of the window in which the local spread is measured


def within_border(border: Mask) -> tuple[slice, slice]:
    """Return the rectangle inside the rows and columns that are all border; a breast can reach its sides."""
    rows, columns = (np.flatnonzero(~border.all(axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        return slice(None), slice(None)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def film_border(image: Grey) -> Mask:
    """Return the bright border of a reduced film (height, width): scanner frame, film edge, adhesive strip.

    From each side, lines are removed up to the last one, within the depth of a narrow border, at which half of the
    pixels are clearly brighter than those one step further inside. A breast or a muscle that reaches the side fades
    slowly there, if at all, and stays. Wider frames and corners are border where they are even and as bright as bare
    scanner light. A black scanner bed around a fogged film is border too.
    """
    border = _bare_light(image)
    darkest, brightest = np.percentile(image[::4, ::4], (1, 99)) / WHITE
    fall = min(BORDER_STEP, BORDER_CONTRAST * float(brightest - darkest))
    for turns in range(4):
        turned = np.rot90(image, turns).astype(np.float32) / WHITE
        depth = max(2, round(DEEPEST_BORDER * turned.shape[0]))
        if turned.shape[0] < 2 * depth:
            continue
        step = max(2, round(BORDER_WIDTH * turned.shape[0]))
        falls = turned[:depth] - turned[step : depth + step] > fall
        peeled = np.flatnonzero(falls.mean(axis=1) >= BORDER_SHARE)
        deepest = round(DEEPEST_FRAME * turned.shape[0])
        bed = turned[:deepest]
        rises = (bed < BED_LEVEL) & (turned[step : deepest + step] - bed > BED_STEP)
        bare = np.flatnonzero(rises.mean(axis=1) >= BORDER_SHARE)
        for last in (*peeled[-1:], *bare[-1:]):
            view = np.rot90(border, turns)
            view[: last + 2] |= True
    return border


def _bare_light(image: Grey) -> Mask:
    """Return pieces at the film's edge that are even, nearly white, no deeper than a frame, and next to the dark.

    A muscle can be as white and as even. It has tissue around it; a frame or a corner has mostly background around it.
    """
    bright = image > FRAME_LEVEL * WHITE
    bare_light = np.zeros(image.shape, dtype=bool)
    if not any(side.any() for side in (bright[0], bright[-1], bright[:, 0], bright[:, -1])):
        return bare_light
    even = local_spread(image.astype(np.float32) / np.float32(WHITE)) < FRAME_SPREAD
    count, labels, boxes, _ = cv2.connectedComponentsWithStats((bright & even).astype(np.uint8), connectivity=4)
    height, width = image.shape
    band = (round(DEEPEST_FRAME * height), round(DEEPEST_FRAME * width))
    dark = image < FRAME_SURROUND * WHITE
    for number in range(1, count):
        piece = labels == number
        at_edge = piece[0].any() or piece[-1].any() or piece[:, 0].any() or piece[:, -1].any()
        inner = piece[band[0] : height - band[0], band[1] : width - band[1]]
        if not at_edge or boxes[number, cv2.CC_STAT_AREA] <= FLAT_SIDE**2 or inner.any():
            continue
        # Evenness is measured in a window, so the piece ends half a window before its real edge.
        grown = cv2.dilate(piece.astype(np.uint8), disk(FLAT_SIDE // 2 + 1)).astype(bool)
        around = cv2.dilate(grown.astype(np.uint8), disk(2)).astype(bool) & ~grown
        if around.any() and dark[around].mean() >= FRAME_DARK_SHARE:
            bare_light |= grown
    return bare_light


def local_spread(level: Plane) -> Plane:
    """Return the standard deviation in a window around each pixel."""
    window = (FLAT_SIDE, FLAT_SIDE)
    mean = cv2.blur(level, window)
    squares = cv2.blur(level * level, window)
    return np.asarray(np.sqrt(np.maximum(squares - mean * mean, 0)), dtype=np.float32)


def disk(radius: int) -> npt.NDArray[np.uint8]:
    """Return a disc of this radius as a kernel."""
    kernel: npt.NDArray[np.uint8] = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return kernel


def opened(mask: npt.NDArray[np.uint8], radius: int) -> npt.NDArray[np.uint8]:
    """Open a mask with a disc, by two distance transforms, whose cost does not depend on the radius."""
    eroded = cv2.distanceTransform(mask, cv2.DIST_L2, 5) > radius
    return np.asarray(cv2.distanceTransform((~eroded).astype(np.uint8), cv2.DIST_L2, 5) <= radius, dtype=np.uint8)
