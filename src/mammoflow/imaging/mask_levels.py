"""Which pixels of a mask file belong to the lesion: told by its grey levels, or by a stated value.

A mask has two levels. Between them there may be others along its outline: anti-aliasing, interpolation, and the ringing
of JPEG. Any other third level is a label, and nobody but the user knows which label is the lesion.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.config.images import COLOUR, THRESHOLD
from mammoflow.errors import ExcludedCase
from mammoflow.imaging.geometry import Mask, box_of
from mammoflow.reasons.lesions import LesionReason

Levels = npt.NDArray[Any]

FEW_LEVELS = 16  # a 4 x 4 average has 17; so many levels or fewer may be labels, which have no noise
NOISE = 0.1  # of the range of levels: what compression adds to or takes from the two levels
EDGE_OF_FEW = 2  # pixels: reach of anti-aliasing
EDGE_OF_MANY = 8  # pixels: a block of JPEG
EDGE_SHARE = 0.01  # of the longest side: reach of the interpolation of a mask that was enlarged
ON_EDGE = 0.95  # share of the levels between that must lie at an outline
OTHER_HUE = 0.25  # of the brightest channel: another channel differs by more only in another colour
HINT = "state the lesion's value in images.mask_value or in the column mask_value, or a threshold such as >127"


def mask_of_levels(levels: Levels, name: str, lossy: bool) -> Mask:
    """Return the pixels (height, width) of the higher of two levels.

    Parameters
    ----------
    levels
        (height, width) of unsigned integers.
    name
        Of the file, for messages.
    lossy
        Whether the file was compressed with loss, so that its levels are not exact.

    Raises
    ------
    ExcludedCase
        MASK_EMPTY where all pixels have one level; MASK_SCATTERED where a file with loss has only traces; MASK_LEVELS
        where there are more than two levels that are not at an outline.
    """
    low, high = int(levels.min()), int(levels.max())
    if high == low:
        what = "is black everywhere" if high == 0 else f"has the one level {high} everywhere"
        raise ExcludedCase(LesionReason.MASK_EMPTY, f"{name} {what}, so no lesion is marked")
    if lossy and high <= np.iinfo(levels.dtype).max // 2:
        raise ExcludedCase(
            LesionReason.MASK_SCATTERED,
            f"{name} is compressed with loss and its brightest level is {high} of {np.iinfo(levels.dtype).max}; "
            f"expected a bright mask: these may be traces of the compression. If they are not, {HINT}",
        )
    at_high = levels == high
    if np.count_nonzero(at_high) + np.count_nonzero(levels == low) == levels.size:
        return np.asarray(at_high)
    if not has_soft_edges(levels, lossy):
        raise ExcludedCase(LesionReason.MASK_LEVELS, f"{name} has {listed_levels(levels)}; expected two: {HINT}")
    return np.asarray(levels > (low + high) // 2)


def has_soft_edges(levels: Levels, lossy: bool) -> bool:
    """Tell whether all levels between the lowest and the highest lie at outlines, near pixels of both of them.

    Parameters
    ----------
    levels
        (height, width) with at least two levels.
    lossy
        Whether the levels are not exact.
    """
    low, high = float(levels.min()), float(levels.max())
    few = not lossy and np.count_nonzero(np.bincount(levels.ravel())) <= FEW_LEVELS
    noise = 0.0 if few else NOISE * (high - low)
    reach = EDGE_OF_FEW if few else max(EDGE_OF_MANY, round(EDGE_SHARE * max(levels.shape)))
    between = (levels > low + noise) & (levels < high - noise)
    box = box_of(between)
    if box is None:
        return True
    y0, x0, y1, x1 = max(box[0] - reach, 0), max(box[1] - reach, 0), box[2] + reach, box[3] + reach
    part, between = levels[y0:y1, x0:x1], between[y0:y1, x0:x1]
    window = np.ones((2 * reach + 1, 2 * reach + 1), dtype=np.uint8)
    near = [
        cv2.dilate(plateau.astype(np.uint8), window).astype(bool)
        for plateau in (part <= low + noise, part >= high - noise)
    ]
    return float((near[0] & near[1])[between].mean()) >= ON_EDGE


def one_colour(colour: Levels, bright: Mask) -> bool:
    """Tell whether the bright pixels of a colour picture have one hue; outlines, which mix colours, do not count.

    Parameters
    ----------
    colour
        (height, width, 3).
    bright
        (height, width): the pixels to compare.
    """
    if not bright.any():
        return True
    square = np.ones((3, 3), dtype=np.uint8)
    core = cv2.erode(bright.astype(np.uint8), square).astype(bool)
    core = core if core.any() else bright
    inside = colour[core].astype(np.float32)
    hues = inside / inside.max(axis=1, keepdims=True)
    differs = np.zeros(bright.shape, dtype=np.uint8)
    differs[core] = np.abs(hues - np.median(hues, axis=0)).max(axis=1) > OTHER_HUE
    return float(differs[core].mean()) <= 1 - ON_EDGE and not cv2.erode(differs, square).any()


def listed_levels(levels: Levels) -> str:
    """Say in words which levels there are."""
    found = np.unique(levels)
    if found.size > FEW_LEVELS:
        return f"{found.size} levels from {found[0]} to {found[-1]}, as a picture or a map of probabilities has"
    return f"the {found.size} levels {', '.join(map(str, found))}"


def mask_of_value(stored: Levels, value: str, name: str, opaque: Mask | None = None) -> Mask:
    """Return the pixels (height, width) that a stated value selects.

    Parameters
    ----------
    stored
        (height, width) of the values as the file has them, or (height, width, 3) red, green, blue.
    value
        Whole numbers with commas between them; ``>`` and a number; or ``#`` and six hexadecimal digits for a colour.
    name
        Of the file, for messages.
    opaque
        (height, width): the pixels that are not transparent, if the file says so; the others are background.

    Raises
    ------
    ExcludedCase
        MASK_LEVELS where no pixel has the value, or the value is a colour and the picture has none.
    """
    if COLOUR.fullmatch(value):
        wanted = [int(value[start : start + 2], 16) for start in (1, 3, 5)]
        mask = np.all(stored == wanted, axis=2) if stored.ndim == 3 else np.zeros(stored.shape, dtype=bool)
    else:
        grey = stored if stored.ndim == 2 else stored.max(axis=2)
        above = THRESHOLD.fullmatch(value)
        mask = grey > int(above[1]) if above else np.isin(grey, [int(number) for number in value.split(",")])
    if opaque is not None:
        mask &= opaque
    if not mask.any():
        found = "colours" if stored.ndim == 3 else listed_levels(stored)
        raise ExcludedCase(LesionReason.MASK_LEVELS, f"no pixel of {name} has the value {value}; found {found}")
    return np.asarray(mask)
