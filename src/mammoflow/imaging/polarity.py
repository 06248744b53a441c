"""Whether black and white of a film look exchanged, whatever its header says.

On a mammogram the background is dark, and it is more even than tissue. On an inverted film most of the border is bright
and even, and what is dark has the texture of tissue. A film that tissue fills, such as a spot view, has a bright border
too, but that is not even.
"""

from __future__ import annotations

import cv2
import numpy as np

from mammoflow.imaging.borders import Plane, film_border, local_spread, within_border
from mammoflow.imaging.geometry import Mask, resize
from mammoflow.imaging.grey import WHITE, Grey
from mammoflow.imaging.unscaled import scaled

WORKING_SIDE = 512
RIM = 0.02  # of the longest side: width of the film's border
BRIGHT_RIM = 0.52  # share of the border that is bright; a breast covers at most half of a film's border
EVENNESS = 0.5  # of the spread of the dark half: the bright half of an inverted film is more even
WEAK_EVENNESS = 1.0  # the same where there is another sign
ONE_LEVEL = (
    0.75  # share of the border's bright part near its median; another sign, as is every lesion outside the breast
)
NEAR = 0.05  # of the film's contrast: levels nearer to the median than this count as one level
SMALLEST_CONTRAST = 0.02  # of white
PADDED = 0.02  # of the contrast: rows and columns no brighter than this are padding


def looks_inverted(image: Grey, lesions_outside: bool = False) -> bool:
    """Tell whether the background of a film looks brighter than its tissue.

    Parameters
    ----------
    image
        (height, width), dark should be background.
    lesions_outside
        Whether every lesion of the image lies outside its breast region; then weaker signs suffice.
    """
    scale = min(1.0, WORKING_SIDE / max(image.shape))
    small = resize(image, (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))))
    unscaled = scaled(small)
    smooth = cv2.medianBlur(small if unscaled is None else unscaled, 5)
    border = film_border(smooth)
    inner = within_border(border)
    level, outside = smooth[inner].astype(np.float32) / np.float32(WHITE), border[inner]
    if outside.all():
        return False
    low, high = np.percentile(level[~outside], (1, 99))
    if high - low < SMALLEST_CONTRAST:
        return False
    level, outside = _without_padding(level, outside, float(low + PADDED * (high - low)))
    inside = ~outside
    bright = level > (low + high) / 2
    rim = _rim(level.shape) & inside
    if not rim.any() or not (bright & inside).any() or not (~bright & inside).any():
        return False
    spread = local_spread(level)
    ratio = float(np.median(spread[bright & inside])) / max(float(np.median(spread[~bright & inside])), 1e-9)
    if float(bright[rim].mean()) <= BRIGHT_RIM:
        return False
    border_levels = level[rim & bright]
    near = np.abs(border_levels - np.median(border_levels)) < NEAR * (high - low)
    return ratio < (WEAK_EVENNESS if lesions_outside or float(near.mean()) > ONE_LEVEL else EVENNESS)


def _without_padding(level: Plane, outside: Mask, dark: float) -> tuple[Plane, Mask]:
    """Cut off rows and columns at the sides that are dark from end to end, as padding is."""
    rows, columns = (np.flatnonzero((level > dark).any(axis=axis)) for axis in (1, 0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return level[part], outside[part]


def _rim(shape: tuple[int, ...]) -> Mask:
    width = max(2, round(RIM * max(shape)))
    rim = np.ones(shape, dtype=bool)
    rim[width:-width, width:-width] = False
    return rim
