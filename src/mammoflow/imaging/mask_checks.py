"""Doubts about a lesion's place and extent: what cannot be a lesion is refused, what is unlikely is flagged."""

from __future__ import annotations

import math

import cv2
import numpy as np

from mammoflow.config.images import ImagesSettings
from mammoflow.errors import ExcludedCase
from mammoflow.imaging.geometry import Box, Mask, box_of
from mammoflow.reasons.lesions import LesionReason

INVERTED_RIM = 0.5  # share of the film's outermost pixels that the background covers and a lesion does not
INVERTED_SHARE = 0.1  # of the film: the background covers more
SPECKS = {3: 16, 5: 64}  # from so many pieces on, none of more than so many pixels: noise; 64 are a block of JPEG
SCATTERED_SHARE = 0.25  # of the film: noise spreads over a box of at least this size
FAR_APART = 5.0  # times the box of the largest piece: pieces that make the box larger lie far apart
TINY_PX = 4  # pixels of the film
OUTSIDE = 0.5  # share of a lesion in the breast region below which it counts as outside
MIRRORED = 0.9  # share of the mirrored lesion in the breast region from which the mask looks mirrored
HOLLOW = 0.5  # share of the area within its outline that a mask must cover, or it is an outline alone
FILLS_BREAST = 0.5  # share of the breast region that a lesion hardly covers

LESION_FLAGS = (
    "flag_outside_breast",
    "flag_mask_mirrored",
    "flag_mask_rescaled",
    "flag_mask_scattered",
    "flag_mask_tiny",
    "flag_mask_hollow",
    "flag_fills_breast",
    "flag_box_clipped",
    "flag_box_differs",
)
"""Columns of CANONICAL_LESIONS that the image stage sets."""


def check_share(share: float, settings: ImagesSettings, what: str) -> None:
    """Refuse a mask or box that covers more of the film than a lesion can.

    Raises
    ------
    ExcludedCase
        MASK_COVERS.
    """
    most = settings.most_of_film
    if share > most:
        raise ExcludedCase(
            LesionReason.MASK_COVERS,
            f"{what} covers {share:.1%} of the film, expected at most {most:.0%} (images.largest_mask_share)",
        )


def check_mask(mask: Mask, settings: ImagesSettings) -> None:
    """Refuse a mask (height, width) of the background, of nearly the whole film, or of specks all over it.

    Raises
    ------
    ExcludedCase
        MASK_COVERS or MASK_SCATTERED.
    """
    share = float(np.count_nonzero(mask)) / mask.size
    rim = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    if float(rim.mean()) > INVERTED_RIM and settings.most_of_film < 1:
        looks = "it looks inverted" if share > INVERTED_SHARE else "a frame is drawn around the picture"
        raise ExcludedCase(
            LesionReason.MASK_COVERS,
            f"mask covers {share:.1%} of the film and {rim.mean():.0%} of its outermost pixels: {looks}; "
            "expected the lesion alone. State its value in images.mask_value or in the column mask_value",
        )
    check_share(share, settings, "mask")
    if settings.scattered_masks == "exclude" and is_scattered(mask):
        raise ExcludedCase(
            LesionReason.MASK_SCATTERED,
            f"mask has only pieces of at most {max(pieces(mask)[0])} pixels, spread over the film, as noise has; "
            "images.scattered_masks: keep uses such masks and flags them",
        )


def is_scattered(mask: Mask) -> bool:
    """Tell whether a mask (height, width) has only specks, spread over a quarter of the film or more."""
    box = box_of(mask)
    if box is None or (box[2] - box[0]) * (box[3] - box[1]) < SCATTERED_SHARE * mask.size:
        return False
    areas, _ = pieces(mask)
    return any(len(areas) >= fewest and max(areas) <= largest for fewest, largest in SPECKS.items())


def far_apart(mask: Mask) -> bool:
    """Tell whether the pieces of a mask (height, width) lie so far apart that its box is none of its largest piece."""
    box = box_of(mask)
    areas, boxes = pieces(mask)
    if box is None or len(areas) < 2:
        return False
    return (box[2] - box[0]) * (box[3] - box[1]) > FAR_APART * boxes[areas.index(max(areas))]


def is_hollow(mask: Mask) -> bool:
    """Tell whether a mask (height, width) covers less than half of what its outline encloses: a drawn line, no area."""
    box = box_of(mask)
    if box is None:
        return False
    inside = np.ascontiguousarray(mask[box[0] : box[2], box[1] : box[3]]).view(np.uint8)
    outlines, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(inside), outlines, -1, 1, cv2.FILLED)
    return bool(np.count_nonzero(inside) < HOLLOW * np.count_nonzero(filled))


def pieces(mask: Mask) -> tuple[list[int], list[int]]:
    """Return the area and the area of the box of each connected piece of a mask (height, width), in pixels."""
    box = box_of(mask)
    if box is None:
        return [], []
    inside = np.ascontiguousarray(mask[box[0] : box[2], box[1] : box[3]])
    _, _, found, _ = cv2.connectedComponentsWithStats(inside.view(np.uint8), connectivity=8)
    areas, widths, heights = (found[1:, part] for part in (cv2.CC_STAT_AREA, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT))
    return areas.tolist(), (widths * heights).tolist()


def share_in_breast(mask: Mask | None, box: Box, breast: Mask) -> float:
    """Return the share of a lesion that lies in the breast region.

    Parameters
    ----------
    mask
        (height, width) on the canonical grid, or None for a box alone.
    box
        In canonical pixels.
    breast
        (height, width) on the canonical grid.
    """
    if mask is not None:
        return float(np.count_nonzero(mask & breast)) / max(int(np.count_nonzero(mask)), 1)
    y0, x0 = math.floor(box[0]), math.floor(box[1])
    inside = breast[y0 : max(math.ceil(box[2]), y0 + 1), x0 : max(math.ceil(box[3]), x0 + 1)]
    return float(inside.mean()) if inside.size else 0.0


def place_columns(mask: Mask | None, box: Box, breast: Mask) -> dict[str, float | bool]:
    """Return the columns of CANONICAL_LESIONS that compare a lesion with the breast region.

    Parameters
    ----------
    mask, box, breast
        As in `share_in_breast`.
    """
    share = share_in_breast(mask, box, breast)
    width = breast.shape[1]
    turned = (box[0], width - box[3], box[2], width - box[1])
    mirrored = share_in_breast(None if mask is None else mask[:, ::-1], turned, breast)
    covered = int(np.count_nonzero(mask & breast)) if mask is not None else 0
    outside = share < OUTSIDE
    return {
        "breast_share": share,
        "flag_outside_breast": outside,
        "flag_mask_mirrored": outside and mirrored >= MIRRORED,
        "flag_fills_breast": covered > FILLS_BREAST * int(np.count_nonzero(breast)) and not bool(breast.all()),
    }
