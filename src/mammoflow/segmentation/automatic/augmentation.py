"""Random changes of training images: flips, rotation, scale, brightness and contrast."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.imaging.geometry import Mask

Channels = npt.NDArray[np.float32]

LARGEST_ANGLE_DEG = 15.0
SCALES = (0.85, 1.18)
GAINS = (0.8, 1.25)
LARGEST_SHIFT = 0.3
"""Of the levels, whose standard deviation is about 1."""


def augment(channels: Channels, lesions: Mask, generator: np.random.Generator) -> tuple[Channels, Mask]:
    """Flip, rotate and scale an image and its reference alike, and change the levels of the image.

    Parameters
    ----------
    channels
        (C, rows, columns) input of the network; 0 is background and stays so.
    lesions
        (rows, columns) reference.
    generator
        Draws the changes.
    """
    angle = generator.uniform(-LARGEST_ANGLE_DEG, LARGEST_ANGLE_DEG)
    scale = float(np.exp(generator.uniform(*np.log(SCALES))))
    flips = generator.random(2) < 0.5
    gain, shift = generator.uniform(*GAINS), generator.uniform(-LARGEST_SHIFT, LARGEST_SHIFT)
    rows, columns = lesions.shape
    matrix = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), angle, scale)
    moved = np.stack([cv2.warpAffine(plane, matrix, (columns, rows), flags=cv2.INTER_LINEAR) for plane in channels])
    levels = lesions.astype(np.uint8) * np.uint8(255)
    moved_lesions = cv2.warpAffine(levels, matrix, (columns, rows), flags=cv2.INTER_LINEAR) > 127
    moved, moved_lesions = _flip(moved, moved_lesions, flips)
    foreground = moved != 0
    changed = np.where(foreground, moved * gain + shift, 0).astype(np.float32)
    return changed, np.ascontiguousarray(moved_lesions)


def mirror(channels: Channels, lesions: Mask, generator: np.random.Generator) -> tuple[Channels, Mask]:
    """Mirror an image and its reference along each axis with a probability of one half; arguments as for `augment`."""
    moved, moved_lesions = _flip(channels, lesions, generator.random(2) < 0.5)
    return np.ascontiguousarray(moved), np.ascontiguousarray(moved_lesions)


def _flip(channels: Channels, lesions: Mask, flips: npt.NDArray[np.bool_]) -> tuple[Channels, Mask]:
    """Mirror along rows and columns as `flips` says."""
    for axis, flip in enumerate(flips):
        if flip:
            channels, lesions = np.flip(channels, axis + 1), np.flip(lesions, axis)
    return channels, lesions


def cut_patch(
    channels: Channels, lesions: Mask, side: int, on_lesion: bool, generator: np.random.Generator
) -> tuple[Channels, Mask]:
    """Cut a square patch at random; what lies outside the image is 0.

    Parameters
    ----------
    channels, lesions
        (C, rows, columns) and (rows, columns).
    side
        Of the patch in pixels.
    on_lesion
        The patch holds a pixel of a lesion that is drawn at random, where there is one.
    generator
        Draws the place.
    """
    rows, columns = lesions.shape
    inside = np.argwhere(lesions) if on_lesion else np.zeros((0, 2), dtype=np.intp)
    if len(inside):
        corner = inside[generator.integers(len(inside))] - generator.integers(0, side, 2)
    else:
        corner = np.array(
            [generator.integers(min(0, length - side), max(0, length - side) + 1) for length in (rows, columns)]
        )
    patch = np.zeros((len(channels), side, side), dtype=np.float32)
    patch_lesions = np.zeros((side, side), dtype=np.bool_)
    low = np.maximum(corner, 0)
    high = np.minimum(corner + side, (rows, columns))
    target = tuple(slice(low[axis] - corner[axis], high[axis] - corner[axis]) for axis in (0, 1))
    source = tuple(slice(low[axis], high[axis]) for axis in (0, 1))
    patch[(slice(None), *target)] = channels[(slice(None), *source)]
    patch_lesions[target] = lesions[source]
    return patch, patch_lesions
