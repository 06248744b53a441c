"""Films whose 16-bit levels hold values of fewer bits, as an export without scaling leaves them: nearly black."""

from __future__ import annotations

import numpy as np

from mammoflow.imaging.grey import WHITE, Grey

MOST_LEVEL = 4095  # the highest level of 12 bits: a film that is scaled to 16 bits is brighter
LEAST_LEVEL = 128  # a film that stays darker holds noise, or values of too few levels
MIDDLE = 32768  # the level of the value 0 where a header says that values are signed
PERCENTILES = (0.1, 99.9)  # beyond are single pixels


def scaled(image: Grey) -> Grey | None:
    """Return a film whose values have 8 to 12 bits at the scale of 16 bits, or None for any other film.

    The number of bits is the smallest that the values need. So the film becomes what a header with this number as Bits
    Stored gives.

    Parameters
    ----------
    image
        (height, width); a reduced film is enough.
    """
    lowest, highest = _levels(image)
    start = MIDDLE if lowest >= MIDDLE else 0
    reached = highest - start
    if not LEAST_LEVEL <= reached <= MOST_LEVEL:
        return None
    level = (image.astype(np.float32) - start) / (2 ** reached.bit_length() - 1)
    return np.asarray(np.rint(level.clip(0, 1) * WHITE), dtype=np.uint16)


def narrow_levels(image: Grey) -> str:
    """Return words on the levels of a film that uses few of them, to follow a message, or "" for any other film."""
    lowest, highest = _levels(image)
    if highest - lowest > MOST_LEVEL:
        return ""
    return f"; its levels are only {lowest} to {highest} of {WHITE}; if it shows a breast, export it scaled to 16 bits"


def _levels(image: Grey) -> tuple[int, int]:
    lowest, highest = np.percentile(image, PERCENTILES)
    return round(float(lowest)), round(float(highest))
