"""Small changes of a lesion's patch that a stable feature should not notice."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from mammoflow.errors import ExcludedCase
from mammoflow.features.lesion_patch import LesionPatch
from mammoflow.features.regions import centre_of
from mammoflow.imaging.geometry import Mask
from mammoflow.reasons.lesions import LesionReason

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=np.uint8)


def resized_mask(patch: LesionPatch, pixels: int) -> LesionPatch:
    """Return a patch whose mask has grown by some pixels on all sides, or shrunk if the number is negative.

    Raises
    ------
    ExcludedCase
        If nothing is left of the mask.
    """
    change = cv2.dilate if pixels > 0 else cv2.erode
    # Beyond the patch nothing is known, so a mask that is cut by its edge does not shrink there.
    mask = change(patch.mask.astype(np.uint8), CROSS, iterations=abs(pixels)).astype(bool) if pixels else patch.mask
    if not mask.any():
        raise ExcludedCase(LesionReason.MASK_EMPTY, f"nothing is left of a mask that shrinks by {-pixels} pixels")
    return replace(patch, mask=mask)


def rotated(patch: LesionPatch, degrees: float) -> LesionPatch:
    """Return a patch that is turned about the lesion's centroid, clockwise as displayed, with linear interpolation.

    Parameters
    ----------
    patch
        Image, mask and breast turn together. What was beyond the patch repeats its edge, and is no breast.
    degrees
        Angle.
    """
    y, x = centre_of(patch.mask)
    # OpenCV turns the other way round for positive angles, and the centre of its pixel i is i.
    matrix = cv2.getRotationMatrix2D((x - 0.5, y - 0.5), -degrees, 1.0)
    size = (patch.mask.shape[1], patch.mask.shape[0])
    image = cv2.warpAffine(patch.image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def turned(mask: Mask) -> Mask:
        levels = mask.astype(np.uint8) * np.uint8(254)
        return np.asarray(cv2.warpAffine(levels, matrix, size, flags=cv2.INTER_LINEAR) > 127)

    mask = turned(patch.mask)
    return replace(patch, image=image, mask=mask if mask.any() else patch.mask, breast=turned(patch.breast))
