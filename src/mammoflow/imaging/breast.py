"""The breast region of a film, without background, labels, tape, scanner frames and bright borders.

All steps run on a reduced image. Borders and frames are removed first. The background is measured where the film is
flat; its level may slope or have steps. Tissue is what is brighter than the background and wide enough. The largest
piece of tissue is the breast: fogged film edges and attached objects with sharp edges are removed from it, then it is
filled and smoothed.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.errors import ExcludedCase
from mammoflow.imaging.borders import FLAT_SIDE, Plane, disk, film_border, local_spread, opened, within_border
from mammoflow.imaging.geometry import Mask, resize
from mammoflow.imaging.grey import WHITE, Grey
from mammoflow.imaging.unscaled import narrow_levels, scaled
from mammoflow.reasons.imaging import ImagingReason

WORKING_SIDE = 512
OPENING = 0.018  # of the longest side: half the width up to which strips and letters are removed
CORE = 0.08  # of the longest side: half the width of the widest tape or label whose edges are examined
SHARP_EDGE = 0.75  # of the tissue's level: a label is at least this bright next to its edge, where skin is still dark
SHARP_SHARE = 0.3  # share of the outline that must be this bright; letters and dirt interrupt it
SLIVER = 3  # pixels of the working image: half the width of gaps between a disc and a smooth outline
EDGE_DEPTH = 4  # pixels of the working image
FOG_WIDTH = 0.06  # of the longest side: the widest fogged edge of a film
FOG_VARIATION = 1.5  # times the median width of the fogged edge; wider lines belong to the breast
FOG_LENGTH = 2.0  # times the width: the shortest fogged edge
FOG_EVENNESS = 0.6  # smallest ratio of the widths of its outer and inner halves; the end of a breast tapers off
FOG_END = 0.05  # of the film's side: a fogged edge starts this close to the end of the side
FOG_RISE = 0.05  # of the contrast between tissue and background: it brightens inwards by no more than this
FLAT_SPREADS = 2.5  # largest local spread of background, as a multiple of that of the darker half of the dark class
FLAT_SPREAD = 0.002  # of white: the spread that rounding to 8 bit leaves
FLAT_LEVELS = 0.33  # of the contrast between tissue and background: largest difference between patches of background
FLAT_EDGE = 0.03  # of the longest side: a patch of background touches at least this much of the film's edge
FLAT_CONTRAST = 0.15  # of the contrast: largest local spread of background; tissue varies more
FLAT_SHARE = 0.004  # of the film: the smallest patch of background
SAMPLED = 7  # every seventh pixel is enough for a median
SURFACE_SIGMA = 6.0  # pixels: standard deviation of the average of the background's level
SMALLEST_SHARE = 0.01  # of the film: the smallest breast region
SMALLEST_UNSCALED_SHARE = 0.05  # the same on a film whose values have fewer bits: noise has smaller patches
SMALLEST_CONTRAST = 0.02  # of white: the smallest contrast between background and tissue
TISSUE_SHARE = 0.06  # of the contrast between tissue and background: skin is at least this bright
NOISE_SPREADS = 4.0  # smallest distance of the threshold from the background, in standard deviations of its noise
BRIGHT_BACKGROUND = 0.6  # of the tissue's level: a brighter dark class that is nowhere even is tissue too


@dataclass(frozen=True)
class _Levels:
    """Grey levels, from 0 to 1 for white.

    Attributes
    ----------
    background
        The background under each pixel (rows, columns).
    spread
        Standard deviation of its noise.
    tissue
        Median of the brighter class.
    even
        Whether there are patches as even as background.
    """

    background: Plane
    spread: float
    tissue: float
    even: bool


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
    region, least = _film_region(small), SMALLEST_SHARE
    unscaled = scaled(small) if float(region.mean()) < least else None
    if unscaled is not None:
        region, least = _film_region(unscaled, sees_background=True), SMALLEST_UNSCALED_SHARE
    share = float(region.mean())
    if share < least:
        found = f"largest bright region covers {share:.2%} of the film, expected {least:.0%}"
        raise ExcludedCase(ImagingReason.NO_BREAST, found + narrow_levels(small))
    return resize(region, (height, width))


def _film_region(small: Grey, sees_background: bool = False) -> Mask:
    """Return the breast region of a reduced film, empty where there is none.

    Parameters
    ----------
    small
        (height, width).
    sees_background
        Whether a film without a background much darker than its tissue has no region.
    """
    smooth = cv2.medianBlur(small, 5)
    border = film_border(smooth)
    region = np.zeros(smooth.shape, dtype=bool)
    inner = within_border(border)
    if not border[inner].all():
        level = smooth[inner].astype(np.float32) / np.float32(WHITE)
        region[inner] = _region(level, border[inner], sees_background)
    return region


def _region(level: Plane, border: Mask, sees_background: bool) -> Mask:
    levels = _levels(level, border)
    if levels is None:
        return np.zeros(level.shape, dtype=bool)
    bright = float(np.median(levels.background)) > BRIGHT_BACKGROUND * levels.tissue
    if bright and (sees_background or not levels.even):
        return np.zeros(level.shape, dtype=bool) if sees_background else ~border
    margin = np.maximum(NOISE_SPREADS * levels.spread, TISSUE_SHARE * (levels.tissue - levels.background))
    tissue = (level > levels.background + margin) & ~border
    return _largest_piece(tissue, border, (level - levels.background) / np.float32(levels.tissue))


def _levels(level: Plane, border: Mask) -> _Levels | None:
    """Measure background and tissue, or return None where the film does not show both."""
    inside = level[~border]
    if inside.size == 0:
        return None
    # Otsu on the square root: the skin line is dark, and the background's share of the film varies widely.
    steps = np.rint(np.sqrt(inside) * 255).astype(np.uint8)
    cut, _ = cv2.threshold(steps.reshape(-1, 1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    dark, bright = inside[steps <= cut][::SAMPLED], inside[steps > cut][::SAMPLED]
    if dark.size == 0 or bright.size == 0 or float(np.median(bright) - np.median(dark)) < SMALLEST_CONTRAST:
        return None
    tissue = float(np.median(bright))
    background = float(np.median(dark))
    flat = _flat_background(level, border, float(cut / 255) ** 2, tissue)
    if not flat.any():
        spread = 1.4826 * float(np.median(np.abs(dark - background)))
        return _Levels(np.full(level.shape, background, dtype=np.float32), spread, tissue, even=False)
    surface = _surface(level, flat)
    spread = 1.4826 * float(np.median(np.abs(level[flat] - surface[flat])[::SAMPLED]))
    return _Levels(surface, spread, tissue, even=True)


def _flat_background(level: Plane, border: Mask, cut: float, tissue: float) -> Mask:
    """Return the patches of the darker class that are as even as background and touch the film's edge.

    Parameters
    ----------
    level, border
        (rows, columns).
    cut
        Brightest level of the darker class.
    tissue
        Median of the brighter class.
    """
    spread = local_spread(level)
    outside = cv2.dilate(border.astype(np.uint8), disk(FLAT_SIDE // 2)).astype(bool)
    dark = (level <= cut) & ~outside
    if not dark.any():
        return np.asarray(dark)
    contrast = tissue - float(np.median(level[dark][::SAMPLED]))
    darkest = spread[dark & (level <= np.median(level[dark][::SAMPLED]))][::SAMPLED]
    most = min(max(FLAT_SPREADS * float(np.median(darkest)), FLAT_SPREAD), FLAT_CONTRAST * contrast)
    flat = dark & (spread <= most)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(flat.astype(np.uint8), connectivity=4)
    areas = boxes[:, cv2.CC_STAT_AREA]
    means = np.bincount(labels.ravel(), weights=level.ravel(), minlength=count) / np.maximum(areas, 1)
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    at_edge = np.bincount(rim, minlength=count)
    background = (areas >= FLAT_SHARE * level.size) & (at_edge >= FLAT_EDGE * max(level.shape))
    background[0] = False
    if background.any():
        darkest_patch = float(means[background].min())
        background &= means <= darkest_patch + FLAT_LEVELS * (tissue - darkest_patch)
    return np.asarray(background[labels])


def _surface(level: Plane, flat: Mask) -> Plane:
    """Return the background's level under each pixel: a local average where it is flat, elsewhere the nearest one."""
    weight = flat.astype(np.float32)
    mean = cv2.GaussianBlur(level * weight, (0, 0), SURFACE_SIGMA)
    mean /= np.maximum(cv2.GaussianBlur(weight, (0, 0), SURFACE_SIGMA), np.float32(1e-6))
    _, labels = cv2.distanceTransformWithLabels(
        (~flat).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    value_of_label = np.zeros(int(labels.max()) + 1, dtype=np.float32)
    value_of_label[labels[flat]] = mean[flat]
    return np.asarray(value_of_label[labels], dtype=np.float32)


def _largest_piece(tissue: Mask, border: Mask, brightness: Plane) -> Mask:
    """Cut thin bridges, keep the largest piece, restore its outline, fill and smooth it, drop fog, labels and tape.

    Parameters
    ----------
    tissue, border
        (rows, columns).
    brightness
        (rows, columns): from 0 at the background to about 1 in tissue.
    """
    radius = max(1, round(OPENING * max(tissue.shape)))
    # The inner frame repeats the values at the edge, so a breast that reaches the side of the film is not rounded
    # there. The black frame around it cuts off strips along the side that are narrower than the inner frame.
    framed = np.pad(np.pad(tissue.astype(np.uint8), radius, mode="edge"), 2 * radius)
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(opened(framed, radius), connectivity=4)
    if count < 2:
        return np.zeros(tissue.shape, dtype=bool)
    largest = (labels == 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
    regrown = cv2.dilate(largest, disk(max(1, radius // 2))) & framed
    closed = 1 - opened(1 - regrown, radius)
    smooth = cv2.medianBlur(closed, 2 * max(1, radius // 2) + 1)
    region = _filled(np.ascontiguousarray(smooth[3 * radius : -3 * radius, 3 * radius : -3 * radius]))
    return _without_sharp_parts(_without_fogged_edge(region, brightness), border, brightness)


def _filled(region: npt.NDArray[np.uint8]) -> Mask:
    """Keep the largest piece and fill its holes."""
    outlines, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return np.zeros(region.shape, dtype=bool)
    filled = np.zeros_like(region)
    cv2.drawContours(filled, [max(outlines, key=cv2.contourArea)], -1, 1, thickness=cv2.FILLED)
    return filled.astype(bool)


def _without_fogged_edge(region: Mask, brightness: Plane) -> Mask:
    """Drop the strips along a film's side, from its ends to the breast, where light has fogged the film's edge."""
    clear = region.copy()
    widest = round(FOG_WIDTH * max(region.shape))
    for turns in range(4):
        for step in (1, -1):
            strips = np.rot90(region, turns)[::step, : widest + 1]
            lines = _fogged_lines(strips, np.rot90(brightness, turns)[::step])
            np.rot90(clear, turns)[::step][lines, : widest + 1] = False
    return region if np.array_equal(clear, region) else _filled(clear.astype(np.uint8))


def _fogged_lines(region: Mask, brightness: Plane) -> slice:
    """Return the lines, starting with the first, on which a region is a fogged edge along the first column.

    A fogged edge is a narrow strip of nearly constant width. It darkens from the film's edge inwards.

    Parameters
    ----------
    region
        (lines, columns): as many columns as the widest fogged edge, and one more.
    brightness
        (lines, columns), with at least as many columns.
    """
    none = slice(0, 0)
    widths = np.where(region.all(axis=1), region.shape[1], np.argmin(region, axis=1))
    started, breast = np.flatnonzero(widths), np.flatnonzero(widths == region.shape[1])
    if not started.size or not breast.size or not started[0] < min(breast[0], FOG_END * len(widths)):
        return none
    beside = widths[started[0] : breast[0]]
    width = max(1.0, float(np.median(beside)))
    strip = beside[: 1 + int(np.flatnonzero(beside <= FOG_VARIATION * width)[-1])]
    outer, inner = np.array_split(strip, 2)
    if len(strip) < FOG_LENGTH * width or float(outer.mean()) < FOG_EVENNESS * float(inner.mean()):
        return none
    lines = slice(started[0], started[0] + len(strip))
    profile = np.median(brightness[lines, : max(2, round(width))], axis=0)
    rise = float((profile - np.minimum.accumulate(profile)).max())
    return none if rise > FOG_RISE else slice(0, lines.stop)


def _without_sharp_parts(region: Mask, border: Mask, brightness: Plane) -> Mask:
    """Drop labels and tape that touch the breast: parts that are bright next to their edge.

    A breast gets thinner towards the skin, so it is dark there; paper and tape are not. A part is a place into which a
    disc wider than any label does not fit.
    """
    background = ~region & ~border
    rim = cv2.dilate(background.astype(np.uint8), disk(EDGE_DEPTH)).astype(bool) & region
    if np.count_nonzero(brightness[rim] > SHARP_EDGE) < 2 * EDGE_DEPTH**2:
        return region
    radius = max(1, round(CORE * max(region.shape)))
    framed = np.pad(np.pad(region.astype(np.uint8), radius, mode="edge"), 2 * radius)
    core = opened(framed, radius)[3 * radius : -3 * radius, 3 * radius : -3 * radius]
    if not core.any():
        return region
    attached = opened((region & (core == 0)).astype(np.uint8), SLIVER)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(attached, connectivity=4)
    dropped = np.zeros(region.shape, dtype=bool)
    for number in range(1, count):
        behind_edge = brightness[rim & (labels == number)]
        large = boxes[number, cv2.CC_STAT_AREA] > 2 * EDGE_DEPTH**2 and behind_edge.size > 0
        if large and float((behind_edge > SHARP_EDGE).mean()) > SHARP_SHARE:
            dropped |= labels == number
    if not dropped.any():
        return region
    return _filled((region & ~dropped).astype(np.uint8))
