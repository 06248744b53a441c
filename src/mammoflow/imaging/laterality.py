"""Which breast an image shows, according to the case table, the header and the image itself.

Conflicts are flagged and not corrected, because each of the three can be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mammoflow.formats.side_header import HeaderSide
from mammoflow.imaging.geometry import Mask
from mammoflow.imaging.grey import Grey

EVEN_SHARE = 0.05  # of the brightness: with a smaller difference between the halves, the image does not tell the side


@dataclass(frozen=True)
class SideCheck:
    """The side that the image shows, "" where that is unclear, and whether table, header and image disagree."""

    laterality: str
    conflict: bool


def image_side(image: Grey, breast: Mask) -> str:
    """Return "left" or "right", the half of the picture that holds more of the breast's brightness; "" where even.

    Only pixels of the breast region count, so labels do not. Half an ellipse at a side has at least 61 % of its area in
    the nearer half of the picture, however wide it is.
    """
    columns = np.where(breast, image, 0).sum(axis=0, dtype=np.float64)
    half = columns.size // 2
    left, right = columns[:half].sum(), columns[columns.size - half :].sum()
    if left + right == 0 or abs(left / (left + right) - 0.5) < EVEN_SHARE:
        return ""
    return "left" if left > right else "right"


def check_side(table: str, header: HeaderSide, side: str) -> SideCheck:
    """Compare table, header and image.

    By convention a left breast is on the left of the picture and its nipple points to the right. Where laterality and
    Patient Orientation of the header agree that a film is mirrored, the image is interpreted as mirrored.

    Parameters
    ----------
    table
        Laterality of the case table, "L", "R" or "".
    header
        Side and view of the header.
    side
        From `image_side`, or "" for a study whose films are not oriented by the convention.
    """
    mirrored = (header.laterality, header.anterior) in (("L", "left"), ("R", "right"))
    left, right = ("R", "L") if mirrored else ("L", "R")
    shown = {"left": left, "right": right}.get(side, "")
    lateralities = {laterality for laterality in (table, header.laterality, shown) if laterality}
    return SideCheck(shown, header.contradicts or len(lateralities) > 1)
