"""How an image reaches an automatic network: its size in the network's pixels, and the way back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.imaging.geometry import Mask, resize, shrink_mask
from mammoflow.segmentation.protocol.segmenter import ImageSize

MULTIPLE = 32
"""Rows and columns of what a network sees are multiples of this, the stride of common networks."""

BACKGROUND = 0.02
"""Grey levels up to this share of the largest are background."""

CLAHE_BINS = 256
"""Bins of the histograms of CLAHE, one for each level of 8 bits, as it is published and used."""

CLAHE_STEP = 65535 // (CLAHE_BINS - 1)
"""Canonical levels from one of these levels to the next."""


@dataclass(frozen=True)
class NetworkInput:
    """The grid on which an automatic network sees an image; the image is at its top left, the rest is 0.

    Attributes
    ----------
    side_px
        Side of the network's square input in pixels. An image is reduced or enlarged until its longest side fits.
        Where `spacing_mm` is given it is the side of a training patch only.
    spacing_mm
        Millimetres from pixel to pixel; None where the side decides.
    stretched
        Height and width of an image both become `side_px`, so that shapes change.
    clahe_clip
        Clip limit of contrast-limited adaptive histogram equalisation (Zuiderveld, Graphics Gems IV, 1994) on this
        grid; None without it.
    clahe_tiles
        Its tiles along each side of the image.
    clahe_bins
        Bins of its histograms: 256, or 65536 for weights that were trained with as many. OpenCV clips a bin at
        `clahe_clip` times the mean count of a bin, and at one count at least. At the sizes of networks a tile has far
        fewer pixels than 65536, so that this limit has no effect there.
    colour
        `rgb` where the network sees the colours of pictures that have some; `grey` where it sees grey levels alone.
    """

    side_px: int = 256
    spacing_mm: float | None = None
    stretched: bool = False
    clahe_clip: float | None = None
    clahe_tiles: int = 8
    clahe_bins: int = CLAHE_BINS
    colour: str = "grey"

    def shape(self, size: ImageSize, spacing_mm: tuple[float, float]) -> ImageSize:
        """Return the (height, width) of an image in the network's pixels.

        Parameters
        ----------
        size
            (height, width) of the canonical image.
        spacing_mm
            Its (row, column) spacing in millimetres.
        """
        if self.stretched:
            return self.side_px, self.side_px
        if self.spacing_mm is None:
            scales = (self.side_px / max(size),) * 2
        else:
            scales = (spacing_mm[0] / self.spacing_mm, spacing_mm[1] / self.spacing_mm)
        return max(1, round(size[0] * scales[0])), max(1, round(size[1] * scales[1]))

    def pixel_mm(self, size: ImageSize, spacing_mm: tuple[float, float]) -> float:
        """Return the millimetres from row to row of the network's pixels; arguments as for `shape`."""
        return spacing_mm[0] * size[0] / self.shape(size, spacing_mm)[0]

    def place(self, image: npt.NDArray[np.uint16], spacing_mm: tuple[float, float]) -> npt.NDArray[np.uint16]:
        """Bring a canonical image to the network's grid, filled up with 0 below and on the right.

        The image is (height, width), or (height, width, 3) in colours.

        Raises
        ------
        ValueError
            If CLAHE is to change an image in colours.
        """
        if self.clahe_clip is not None and image.ndim == 3:
            raise ValueError("CLAHE is for grey levels; expected an image (height, width)")
        shape = self.shape((image.shape[0], image.shape[1]), spacing_mm)
        resized = resize(image, shape)
        return self._fill(resized if self.clahe_clip is None else self._equalised(resized, self.clahe_clip))

    def place_mask(self, mask: Mask, spacing_mm: tuple[float, float]) -> Mask:
        """Bring a canonical mask (height, width) to the network's grid; a small lesion keeps a pixel at least."""
        shape = self.shape((mask.shape[0], mask.shape[1]), spacing_mm)
        smaller = shape[0] <= mask.shape[0] and shape[1] <= mask.shape[1]
        return self._fill(shrink_mask(mask, shape) if smaller else resize(mask, shape))

    def restore(
        self, values: npt.NDArray[np.float32], size: ImageSize, spacing_mm: tuple[float, float]
    ) -> npt.NDArray[np.float32]:
        """Bring values on the network's grid to the canonical grid (height, width)."""
        rows, columns = self.shape(size, spacing_mm)
        return np.asarray(resize(np.ascontiguousarray(values[:rows, :columns]), size), dtype=np.float32)

    def _equalised(self, grid: npt.NDArray[np.uint16], clip: float) -> npt.NDArray[np.uint16]:
        """Apply CLAHE to a grid (rows, columns); with 256 bins the background, which it would lift, is 0."""
        clahe = cv2.createCLAHE(clipLimit=clip, tileGridSize=(self.clahe_tiles, self.clahe_tiles))
        if self.clahe_bins != CLAHE_BINS:
            return np.asarray(clahe.apply(np.ascontiguousarray(grid)), dtype=np.uint16)
        levels = np.round(grid / CLAHE_STEP).astype(np.uint8)
        equalised = np.asarray(clahe.apply(levels), dtype=np.uint16) * np.uint16(CLAHE_STEP)
        return np.where(grid > BACKGROUND * float(grid.max(initial=1)), equalised, np.uint16(0))

    def _fill(self, grid: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Fill a grid up to the square of the network, or to multiples of MULTIPLE."""
        sides = [
            self.side_px if self.spacing_mm is None else MULTIPLE * math.ceil(length / MULTIPLE)
            for length in grid.shape[:2]
        ]
        filled = np.zeros((*sides, *grid.shape[2:]), dtype=grid.dtype)
        filled[: grid.shape[0], : grid.shape[1]] = grid
        return filled
