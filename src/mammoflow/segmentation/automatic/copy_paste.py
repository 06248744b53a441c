"""Lesions that are blended into training images: supplementary training data, which a record marks as such.

A lesion is a copy from another training image, or synthetic.

Ghiasi et al., Simple Copy-Paste, CVPR 2021; the seam is hidden by a soft edge and by the local level of the target.
"""

from __future__ import annotations

import cv2
import numpy as np

from mammoflow.imaging.geometry import Mask, box_of
from mammoflow.segmentation.automatic.augmentation import Channels, Plane

SOFT_SHARE = 0.15
"""Width of the soft edge as a share of the longest side of the lesion."""

TRIES = 10
"""Places that are tried for a lesion; it must be inside the breast and off every other lesion."""


def paste_lesion(
    channels: Channels, lesions: Mask, source: Channels, source_lesions: Mask, generator: np.random.Generator
) -> tuple[Channels, Mask]:
    """Blend a lesion of a source into an image.

    The difference of the lesion to the mean level around it is added to the image, with a soft edge, so that the image
    keeps its own brightness.

    Parameters
    ----------
    channels, lesions
        (C, rows, columns) and (rows, columns): the image and its reference.
    source, source_lesions
        The same of another image; one of its connected lesions is taken.
    generator
        Draws lesion, flips and place.

    Returns
    -------
    tuple
        Image and reference with the lesion, or unchanged ones where no place was found.
    """
    count, labels = cv2.connectedComponents(source_lesions.astype(np.uint8))
    if count < 2:
        return channels, lesions
    mask = labels == int(generator.integers(1, count))
    soft = max(1, round(SOFT_SHARE * _longest(mask)))
    y0, x0, y1, x1 = _grown(mask, 2 * soft)
    inside, piece = mask[y0:y1, x0:x1], source[:, y0:y1, x0:x1]
    for axis in (0, 1):
        if generator.random() < 0.5:
            inside, piece = np.flip(inside, axis), np.flip(piece, axis + 1)
    around = ~inside & (piece != 0).all(axis=0)
    if not around.any():
        return channels, lesions
    difference = piece - piece[:, around].mean(axis=1)[:, None, None]
    return _blended(channels, lesions, inside, difference * (piece != 0), soft, generator)


def paste_levels(
    channels: Channels, lesions: Mask, levels: Plane, mask: Mask, generator: np.random.Generator
) -> tuple[Channels, Mask]:
    """Blend a synthetic lesion into an image.

    Parameters
    ----------
    channels, lesions
        (C, rows, columns) and (rows, columns): the image and its reference.
    levels
        (height, width): differences to the surroundings of the lesion in standard deviations of the foreground.
    mask
        (height, width): the lesion.
    generator
        Draws flips and place.

    Returns
    -------
    tuple
        Image and reference with the lesion, or unchanged ones where no place was found.
    """
    soft = max(1, round(SOFT_SHARE * _longest(mask)))
    y0, x0, y1, x1 = _grown(mask, 2 * soft)
    inside, piece = mask[y0:y1, x0:x1], levels[y0:y1, x0:x1]
    for axis in (0, 1):
        if generator.random() < 0.5:
            inside, piece = np.flip(inside, axis), np.flip(piece, axis)
    deviations = np.array([plane[plane != 0].std() if plane.any() else 0.0 for plane in channels], dtype=np.float32)
    return _blended(channels, lesions, inside, deviations[:, None, None] * piece, soft, generator)


def _blended(
    channels: Channels,
    lesions: Mask,
    inside: Mask,
    difference: Channels,
    soft: int,
    generator: np.random.Generator,
) -> tuple[Channels, Mask]:
    """Add the difference (C, height, width) of a lesion to its surroundings at a place that is drawn."""
    corner = _place(inside, channels, lesions, generator)
    if corner is None:
        return channels, lesions
    weight = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), soft)
    weight = np.maximum(weight, inside.astype(np.float32))
    rows, columns = slice(corner[0], corner[0] + len(inside)), slice(corner[1], corner[1] + inside.shape[1])
    blended = channels.copy()
    region = blended[:, rows, columns]
    blended[:, rows, columns] = np.where(region != 0, region + weight * difference, 0)
    reference = lesions.copy()
    reference[rows, columns] |= inside
    return blended, reference


def _longest(mask: Mask) -> int:
    y0, x0, y1, x1 = box_of(mask) or (0, 0, 0, 0)
    return max(y1 - y0, x1 - x0)


def _grown(mask: Mask, margin: int) -> tuple[int, int, int, int]:
    """Return the box of a mask with a margin, inside the image."""
    y0, x0, y1, x1 = box_of(mask) or (0, 0, 0, 0)
    rows, columns = mask.shape
    return max(0, y0 - margin), max(0, x0 - margin), min(rows, y1 + margin), min(columns, x1 + margin)


def _place(inside: Mask, channels: Channels, lesions: Mask, generator: np.random.Generator) -> tuple[int, int] | None:
    """Draw the corner of a place where the lesion is inside the breast and off every other lesion."""
    rows, columns = lesions.shape
    free = (channels != 0).all(axis=0) & ~lesions
    last = rows - len(inside), columns - inside.shape[1]
    if min(last) < 0:
        return None
    for _ in range(TRIES):
        y, x = (int(generator.integers(0, most + 1)) for most in last)
        if free[y : y + len(inside), x : x + inside.shape[1]][inside].all():
            return y, x
    return None
