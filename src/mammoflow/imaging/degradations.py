"""Degradations of a grey image: noise, blur, contrast, gamma, compression, resolution, a film label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from mammoflow.imaging.geometry import Mask
from mammoflow.imaging.grey import Grey

WHITE = 65535
TAIL_PERCENT = 1.0
"""The range of the breast's grey levels leaves out this percentage of its pixels at each end."""

LABEL_HEIGHT = 0.5
"""Height of a label as a share of its width."""

BARS = 3
"""Dark bars on a label, as lines of text look from afar."""

INK = 0.1
"""Level of the bars as a share of the label's white."""


@dataclass(frozen=True)
class Levels:
    """Grey levels of the breast on an image.

    Attributes
    ----------
    low, high
        Bounds of their range: percentiles 1 and 99.
    top
        The largest level of the whole image.
    """

    low: float
    high: float
    top: float

    @classmethod
    def of(cls, grey: Grey, breast: Mask) -> Levels:
        """Measure an image (H, W) in its breast region, or everywhere where that is empty."""
        inside = grey[breast] if breast.any() else grey.ravel()
        low, high = np.percentile(inside, [TAIL_PERCENT, 100 - TAIL_PERCENT])
        return cls(float(low), float(high), max(float(grey.max()), 1.0))


@dataclass(frozen=True)
class Picture:
    """A canonical image, or a patch of the same film at another pixel spacing.

    Attributes
    ----------
    grey
        (H, W) uint16.
    breast
        (H, W) breast region.
    spacing_mm
        Pixel spacing of rows and columns.
    levels
        Of the canonical image, also for a patch.
    scale
        Pixels on the length of one canonical pixel; 1 for the canonical image.
    corner
        Canonical row and column of the picture's first pixel; (0, 0) for the canonical image.
    label_at
        Row and column, 0 or 1 each, of the corner of the canonical image that takes a label.
    image_size_mm
        Height and width of the canonical image.
    seed
        Of the noise.
    """

    grey: Grey
    breast: Mask
    spacing_mm: tuple[float, float]
    levels: Levels
    scale: float = 1.0
    corner: tuple[float, float] = (0.0, 0.0)
    label_at: tuple[int, int] = (0, 0)
    image_size_mm: tuple[float, float] = (0.0, 0.0)
    seed: int = 0


def _rounded(levels: np.ndarray) -> Grey:
    return np.clip(np.round(levels), 0, WHITE).astype(np.uint16)


def gaussian_noise(picture: Picture, share: float) -> Grey:
    """Add normal noise in the breast region; its standard deviation is a share of the range of grey levels.

    The background outside the breast region stays as it is.
    """
    noise = np.random.default_rng(picture.seed).standard_normal(picture.grey.shape)
    noise *= share * (picture.levels.high - picture.levels.low)
    return np.where(picture.breast, _rounded(picture.grey + noise), picture.grey)


def blur(picture: Picture, sigma_mm: float) -> Grey:
    """Blur the whole picture with a Gaussian, so that a little of the breast's edge spreads into the background."""
    rows, columns = (sigma_mm / spacing for spacing in picture.spacing_mm)
    if not sigma_mm:
        return picture.grey.copy()
    grey = picture.grey.astype(np.float32)
    return _rounded(cv2.GaussianBlur(grey, (0, 0), sigmaX=columns, sigmaY=rows, borderType=cv2.BORDER_REPLICATE))


def contrast(picture: Picture, factor: float) -> Grey:
    """Multiply the distance of each level of the breast region from the middle of the range by a factor."""
    middle = (picture.levels.low + picture.levels.high) / 2
    changed = middle + factor * (picture.grey.astype(np.float64) - middle)
    return np.where(picture.breast, _rounded(changed), picture.grey)


def gamma(picture: Picture, exponent: float) -> Grey:
    """Raise levels, as shares of the largest one of the image, to a power; 0 stays 0.

    An exponent below 1 makes dark tissue brighter.
    """
    return _rounded(picture.levels.top * (picture.grey / picture.levels.top) ** exponent)


def jpeg(picture: Picture, quality: float) -> Grey:
    """Compress the picture as a JPEG of 8 bits and return it at its levels; the loss contains that of 8 bits."""
    eight = np.clip(np.round(picture.grey * (255 / picture.levels.top)), 0, 255).astype(np.uint8)
    _, stream = cv2.imencode(".jpg", eight, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    decoded = np.asarray(cv2.imdecode(stream, cv2.IMREAD_GRAYSCALE))
    return _rounded(decoded * (picture.levels.top / 255))


def resolution(picture: Picture, factor: float) -> Grey:
    """Average pixels of a factor times the canonical spacing, and interpolate back to the picture's own pixels.

    A patch that is finer than the canonical image is brought to the same spacing in millimetres.
    """
    height, width = picture.grey.shape
    step = factor * picture.scale
    if factor == 1:
        return picture.grey.copy()
    small = max(1, round(width / step)), max(1, round(height / step))
    grey = cv2.resize(picture.grey.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    return _rounded(cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR))


def spacing(picture: Picture, share: float) -> Grey:
    """Return the picture as it is: a wrong pixel spacing changes columns of the tables (`wrong_spacing`)."""
    del share
    return picture.grey.copy()


def wrong_spacing(spacing_mm: float, share: float) -> float:
    """Return a pixel spacing that is taken wrong by a share."""
    return spacing_mm * (1 + share)


def label(picture: Picture, width_mm: float) -> Grey:
    """Burn a white label with dark bars into the corner `label_at`; it is half as high as wide.

    It lies on the breast where no corner is free. A patch shows the part of the label that lies on it.
    """
    size = LABEL_HEIGHT * width_mm, width_mm
    changed = picture.grey.copy()
    if not width_mm:
        return changed
    starts = [
        _start(at, image_mm, side)
        for at, image_mm, side in zip(picture.label_at, picture.image_size_mm, size, strict=True)
    ]
    # centres of the picture's pixels in millimetres from the upper left corner of the label
    places = [
        (corner * picture.scale + np.arange(count) + 0.5) * step - start
        for corner, count, step, start in zip(picture.corner, changed.shape, picture.spacing_mm, starts, strict=True)
    ]
    on = [(place >= 0) & (place < side) for place, side in zip(places, size, strict=True)]
    lines = 2 * BARS + 1
    bar_rows = on[0] & (np.floor(places[0] / size[0] * lines).astype(int) % 2 == 1)
    bar_columns = on[1] & (places[1] >= 0.1 * size[1]) & (places[1] < 0.9 * size[1])
    changed[np.ix_(*on)] = round(picture.levels.top)
    changed[np.ix_(bar_rows, bar_columns)] = round(INK * picture.levels.top)
    return changed


def _start(at: int, image_mm: float, side: float) -> float:
    return max(image_mm - side, 0.0) if at else 0.0


def label_corner(breast: Mask) -> tuple[int, int]:
    """Return the corner of an image (H, W) that is farthest from the breast: row and column, 0 or 1 each.

    The measure is the share of breast in the quarter of the image at the corner; the first of equal ones counts.
    """
    height, width = (max(1, side // 2) for side in breast.shape)
    sides = [(slice(side), slice(-side, None)) for side in (height, width)]
    corners = [(row, column) for row in (0, 1) for column in (0, 1)]
    shares = {(row, column): float(breast[sides[0][row], sides[1][column]].mean()) for row, column in corners}
    return min(shares, key=lambda corner: shares[corner])


DEGRADATIONS: dict[str, Callable[[Picture, float], Grey]] = {
    "gaussian_noise": gaussian_noise,
    "blur": blur,
    "contrast": contrast,
    "gamma": gamma,
    "jpeg": jpeg,
    "resolution": resolution,
    "spacing": spacing,
    "label": label,
}
"""Degradations by their names in the settings; each takes a picture and a level and never changes its argument."""
