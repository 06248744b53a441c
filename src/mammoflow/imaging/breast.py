"""The breast on a film, told from background, labels, tape and bright borders.

Found on a reduced image: film borders are peeled off, the background level is measured, whatever is brighter and
wide enough to be tissue is kept, and of that the largest piece, smoothed and filled.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.errors import ExcludedCase, Reason
from mammoflow.imaging.geometry import Mask, resize
from mammoflow.imaging.grey import WHITE, Grey

WORKING_SIDE = 512
DEEPEST_BORDER = 0.06  # of the side; film edges and scanner frames lie within
BORDER_WIDTH = 0.012  # of the side: within this distance a border's edge must fall
BORDER_STEP = 0.08  # of white: how far it must fall there
BORDER_SHARE = 0.5  # of the line that must fall for it to be peeled
OPENING = 0.018  # of the longest side: radius of the widest tape or label that is cut off
SMALLEST_SHARE = 0.01  # of the film; less is no breast
SMALLEST_CONTRAST = 0.02  # of white, between background and tissue
TISSUE_SHARE = 0.06  # of the way from background to tissue: where the skin begins
NOISE_SPREADS = 4.0  # standard deviations of the background that the threshold keeps away from it
BRIGHT_BACKGROUND = 0.6  # of the tissue's level: above it, the darker class is tissue too and fills the film


def breast_region(image: Grey) -> Mask:
    """Return the breast region of a film (height, width), dark is background.

    Raises
    ------
    ExcludedCase
        NO_BREAST where nothing on the film is large enough and brighter than its background.
    """
    height, width = image.shape
    scale = min(1.0, WORKING_SIDE / max(height, width))
    small = resize(image, (max(1, round(height * scale)), max(1, round(width * scale))))
    smooth = cv2.medianBlur(small, 5)
    border = film_border(smooth)
    tissue = _brighter_than_background(smooth, border)
    region = _largest_piece(tissue)
    share = float(region.mean())
    if share < SMALLEST_SHARE:
        raise ExcludedCase(
            Reason.NO_BREAST, f"largest bright region covers {share:.2%} of the film, expected {SMALLEST_SHARE:.0%}"
        )
    return resize(region, (height, width))


def film_border(image: Grey) -> Mask:
    """Return the bright border of a reduced film (height, width): scanner frame, film edge, adhesive strip.

    From each side, everything is peeled off up to the last line, not deeper than any border, at which half of the
    pixels are clearly brighter than those a step further inside. A breast or a muscle that runs into the side fades
    slowly there, if at all, and stays.
    """
    border = np.zeros(image.shape, dtype=np.uint8)
    for turns in range(4):
        turned = np.rot90(image, turns).astype(np.float32) / WHITE
        depth = max(2, round(DEEPEST_BORDER * turned.shape[0]))
        if turned.shape[0] < 2 * depth:
            continue
        step = max(2, round(BORDER_WIDTH * turned.shape[0]))
        falls = turned[:depth] - turned[step : depth + step] > BORDER_STEP
        peeled = np.flatnonzero(falls.mean(axis=1) >= BORDER_SHARE)
        if peeled.size:
            view = np.rot90(border, turns)
            view[: peeled[-1] + 2] |= 1
    return border.astype(bool)


def _brighter_than_background(image: Grey, border: Mask) -> Mask:
    """Tell tissue from background by a threshold close to the background's own level."""
    inside = image[~border]
    if inside.size == 0:
        return np.zeros(image.shape, dtype=bool)
    # Otsu on the square root: the skin line is dark, and the background's share of the film varies widely.
    levels = np.rint(np.sqrt(inside / WHITE) * 255).astype(np.uint8)
    cut, _ = cv2.threshold(levels.reshape(-1, 1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    dark = inside[levels <= cut] / WHITE
    bright = inside[levels > cut] / WHITE
    if dark.size == 0 or bright.size == 0 or float(np.median(bright) - np.median(dark)) < SMALLEST_CONTRAST:
        return np.zeros(image.shape, dtype=bool)
    background, tissue = float(np.median(dark)), float(np.median(bright))
    if background > BRIGHT_BACKGROUND * tissue:
        return ~border
    spread = 1.4826 * float(np.median(np.abs(dark - background)))
    threshold = background + max(NOISE_SPREADS * spread, TISSUE_SHARE * (tissue - background))
    return np.asarray((image / WHITE > threshold) & ~border)


def _disk(radius: int) -> npt.NDArray[np.uint8]:
    kernel: npt.NDArray[np.uint8] = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return kernel


def _largest_piece(tissue: Mask) -> Mask:
    """Cut thin bridges, keep the largest piece, give it back its outline, fill and smooth it."""
    radius = max(1, round(OPENING * max(tissue.shape)))
    # A frame of the edge's own values lets the breast run into the side of the film without being rounded there; the
    # black frame around it cuts strips along the side that are narrower than the inner frame.
    framed = np.pad(np.pad(tissue.astype(np.uint8), radius, mode="edge"), 2 * radius)
    opened = cv2.morphologyEx(framed, cv2.MORPH_OPEN, _disk(radius))
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    if count < 2:
        return np.zeros(tissue.shape, dtype=bool)
    largest = (labels == 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
    regrown = cv2.dilate(largest, _disk(max(1, radius // 2))) & framed
    closed = cv2.morphologyEx(regrown, cv2.MORPH_CLOSE, _disk(radius))
    smooth = cv2.medianBlur(closed, 2 * max(1, radius // 2) + 1)
    region = smooth[3 * radius : -3 * radius, 3 * radius : -3 * radius]
    return _filled(np.ascontiguousarray(region))


def _filled(region: npt.NDArray[np.uint8]) -> Mask:
    """Fill what the region's outer outline encloses; keep one piece."""
    outlines, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return np.zeros(region.shape, dtype=bool)
    filled = np.zeros_like(region)
    cv2.drawContours(filled, [max(outlines, key=cv2.contourArea)], -1, 1, thickness=cv2.FILLED)
    return filled.astype(bool)
