"""Random changes of training images by name; references move with their images, and background stays 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.config.augmentation import STANDARD, AugmentationName
from mammoflow.imaging.geometry import Mask

Channels = npt.NDArray[np.float32]
Plane = npt.NDArray[np.float32]

LARGEST_ANGLE_DEG = 15.0
SCALES = (0.85, 1.18)
GAINS = (0.8, 1.25)
LARGEST_SHIFT = 0.3
"""Of the levels, whose standard deviation is about 1."""

LARGEST_SHEAR = 0.15
ELASTIC_SHIFT, ELASTIC_SMOOTHING = 0.03, 0.08
"""Largest displacement of a pixel, and the smoothing of the displacements, as shares of the longest side."""

LARGEST_NOISE = 0.2
BLURS_PX = (0.3, 1.2)
DENSITY_CHANGES = (-0.6, 1.2)
"""Change of the levels in tissue of full density: a breast becomes fattier or denser."""

TEXTURE_EXPONENT = 3.0
"""Power spectrum of the simulated tissue, 1 / f^3, as that of mammograms (Burgess et al., Medical Physics 2001)."""


def augment(
    channels: Channels,
    masks: Sequence[Mask],
    generator: np.random.Generator,
    names: Sequence[AugmentationName] = STANDARD,
) -> tuple[Channels, list[Mask]]:
    """Change an image at random, and its masks alike.

    Parameters
    ----------
    channels
        (C, rows, columns) input of the network; 0 is background and stays so.
    masks
        (rows, columns) each: the reference, and what else moves with the image.
    generator
        Draws the changes.
    names
        Which changes; `cutmix` mixes images of a batch and is not done here.

    Returns
    -------
    tuple
        Channels and masks of the same shapes.
    """
    angle = generator.uniform(-LARGEST_ANGLE_DEG, LARGEST_ANGLE_DEG) * ("rotation" in names)
    scale = float(np.exp(generator.uniform(*np.log(SCALES)))) if "scale" in names else 1.0
    flips = (generator.random(2) < 0.5) & ("flips" in names)
    gain = generator.uniform(*GAINS) if "contrast" in names else 1.0
    shift = generator.uniform(-LARGEST_SHIFT, LARGEST_SHIFT) * ("brightness" in names)
    shape = (channels.shape[1], channels.shape[2])
    if {"rotation", "scale", "shear"} & set(names):
        shear = generator.uniform(-LARGEST_SHEAR, LARGEST_SHEAR) if "shear" in names else 0.0
        channels, masks = _affine(channels, masks, _matrix(shape, float(angle), scale, float(shear)))
    if "elastic" in names:
        channels, masks = _elastic(channels, masks, generator)
    for axis, flip in enumerate(flips):
        if flip:
            channels, masks = np.flip(channels, axis + 1), [np.flip(mask, axis) for mask in masks]
    foreground = channels != 0
    changed = channels * gain + shift
    if "density" in names:
        changed = changed + density_change(foreground.any(axis=0), generator)
    if "blur" in names:
        changed = _blurred(changed, foreground, generator.uniform(*BLURS_PX))
    if "noise" in names:
        deviation = generator.uniform(0.0, LARGEST_NOISE)
        changed = changed + generator.normal(0.0, deviation, shape)
    changed = np.where(foreground, changed, 0).astype(np.float32)
    return changed, [np.ascontiguousarray(mask) for mask in masks]


def _matrix(shape: tuple[int, int], angle: float, scale: float, shear: float) -> npt.NDArray[np.float64]:
    """Return the 2 x 3 matrix that turns, scales and shears about the middle of an image."""
    middle = ((shape[1] - 1) / 2, (shape[0] - 1) / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(middle, angle, scale))
    if shear:
        sheared = np.array([[1.0, shear, -shear * middle[1]], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        matrix = matrix @ sheared
    return matrix


def _affine(channels: Channels, masks: Sequence[Mask], matrix: npt.NDArray[np.float64]) -> tuple[Channels, list[Mask]]:
    size = (channels.shape[2], channels.shape[1])
    return _moved(channels, masks, lambda plane: cv2.warpAffine(plane, matrix, size, flags=cv2.INTER_LINEAR))


def _elastic(channels: Channels, masks: Sequence[Mask], generator: np.random.Generator) -> tuple[Channels, list[Mask]]:
    """Displace pixels by a smooth random field (Simard et al., ICDAR 2003)."""
    shape = (channels.shape[1], channels.shape[2])
    side = max(shape)
    fields = []
    for length in shape:
        field = cv2.GaussianBlur(generator.uniform(-1, 1, shape), (0, 0), ELASTIC_SMOOTHING * side)
        fields.append(field / max(float(np.abs(field).max()), 1e-9) * ELASTIC_SHIFT * length * generator.random())
    y, x = (grid.astype(np.float32) for grid in np.mgrid[: shape[0], : shape[1]])
    where = (x + fields[1].astype(np.float32), y + fields[0].astype(np.float32))
    return _moved(channels, masks, lambda plane: cv2.remap(plane, *where, cv2.INTER_LINEAR))


def _moved(
    channels: Channels, masks: Sequence[Mask], move: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
) -> tuple[Channels, list[Mask]]:
    """Move an image and its masks; no level of the background comes into the foreground.

    Where more than half of a pixel is foreground, it gets the mean level of this part. The rest is background.
    """
    coverage = move((channels != 0).any(axis=0).astype(np.float32))
    moved = np.stack([move(plane) for plane in channels])
    moved *= (coverage > 0.5) / np.maximum(coverage, np.float32(0.5))
    levels = (mask.astype(np.uint8) * np.uint8(255) for mask in masks)
    return moved, [move(level) > 127 for level in levels]


def _blurred(channels: Channels, foreground: npt.NDArray[np.bool_], sigma: float) -> Channels:
    """Blur the foreground alone: no level of the background comes into it."""

    def blur(plane: npt.NDArray[np.generic]) -> Plane:
        return np.asarray(cv2.GaussianBlur(np.ascontiguousarray(plane, dtype=np.float32), (0, 0), sigma))

    planes = zip(channels, foreground, strict=True)
    return np.stack([blur(plane * inside) / np.maximum(blur(inside), 1e-6) for plane, inside in planes])


def density_change(breast: Mask, generator: np.random.Generator) -> Plane:
    """Return a change of grey levels as more or less glandular tissue makes it: no real density is measured.

    Patches of a random texture with the power spectrum of mammograms become brighter or darker, more so in the depth of
    the breast than at its skin. It is a simulation and not a model of X-ray absorption.

    Parameters
    ----------
    breast
        (rows, columns): the foreground.
    generator
        Draws texture and strength.

    Returns
    -------
    ndarray
        (rows, columns), to be added to levels with a standard deviation of about 1; 0 outside the breast.
    """
    rows, columns = breast.shape
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(generator.normal(size=breast.shape)) * frequency ** (-TEXTURE_EXPONENT / 2)
    texture = np.fft.ifft2(spectrum).real
    tissue = 1 / (1 + np.exp(-3 * (texture - texture.mean()) / max(float(texture.std()), 1e-9)))
    padded = np.pad(breast.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    depth = np.minimum(1.0, 2 * depth / max(float(depth.max()), 1.0))
    strength = generator.uniform(*DENSITY_CHANGES)
    return np.asarray(strength * tissue * depth * breast, dtype=np.float32)


def cut_patch(
    channels: Channels, masks: Sequence[Mask], side: int, on_lesion: bool, generator: np.random.Generator
) -> tuple[Channels, list[Mask]]:
    """Cut a square patch at random; what lies outside the image is 0.

    Parameters
    ----------
    channels, masks
        (C, rows, columns), and (rows, columns) each; the first mask is that of the lesions.
    side
        Of the patch in pixels.
    on_lesion
        The patch holds a pixel of a lesion that is drawn at random, where there is one.
    generator
        Draws the place.
    """
    rows, columns = masks[0].shape
    inside = np.argwhere(masks[0]) if on_lesion else np.zeros((0, 2), dtype=np.intp)
    if len(inside):
        corner = inside[generator.integers(len(inside))] - generator.integers(0, side, 2)
    else:
        corner = np.array(
            [generator.integers(min(0, length - side), max(0, length - side) + 1) for length in (rows, columns)]
        )
    patch = np.zeros((len(channels), side, side), dtype=np.float32)
    patches = [np.zeros((side, side), dtype=np.bool_) for _ in masks]
    low = np.maximum(corner, 0)
    high = np.minimum(corner + side, (rows, columns))
    target = tuple(slice(low[axis] - corner[axis], high[axis] - corner[axis]) for axis in (0, 1))
    source = tuple(slice(low[axis], high[axis]) for axis in (0, 1))
    patch[(slice(None), *target)] = channels[(slice(None), *source)]
    for cut, mask in zip(patches, masks, strict=True):
        cut[target] = mask[source]
    return patch, patches
