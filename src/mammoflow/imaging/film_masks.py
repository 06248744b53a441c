"""Masks on the grid of a film's file: brought there from the canonical grid, and measured."""

from __future__ import annotations

import numpy as np

from mammoflow.imaging.geometry import Mask, longest_diameter_mm, resize


def on_film(mask: Mask, size: tuple[int, int]) -> Mask:
    """Bring a mask from the canonical grid to the film's, of the same extent.

    A film pixel is set where the interpolated mask covers more than half of it. Where that leaves nothing of a small
    mask, the film pixels of its canonical pixels are set.

    Parameters
    ----------
    mask
        (height, width) on the canonical grid.
    size
        (height, width) of the film's file.
    """
    larger = resize(mask, size)
    if larger.any() or not mask.any():
        return larger
    rows = np.minimum((np.arange(size[0]) + 0.5) * mask.shape[0] / size[0], mask.shape[0] - 1).astype(int)
    columns = np.minimum((np.arange(size[1]) + 0.5) * mask.shape[1] / size[1], mask.shape[1] - 1).astype(int)
    return np.asarray(mask[np.ix_(rows, columns)])


def measure_mask(mask: Mask, spacing_mm: tuple[float, float]) -> tuple[float, float]:
    """Return the area in square millimetres and the longest diameter in millimetres of a mask.

    Parameters
    ----------
    mask
        (height, width).
    spacing_mm
        From row to row and from column to column.

    Returns
    -------
    tuple of float
        The diameter is nan where the mask is empty.
    """
    area = float(np.count_nonzero(mask)) * spacing_mm[0] * spacing_mm[1]
    return area, longest_diameter_mm(mask, spacing_mm)


def film_spacing_mm(square_mm: float, square_size: tuple[int, int], size: tuple[int, int]) -> tuple[float, float]:
    """Return the millimetres from row to row and from column to column of a film's file.

    Parameters
    ----------
    square_mm, square_size
        `film_spacing_mm` and (`film_height`, `film_width`) of CANONICAL_IMAGES: the film with square pixels.
    size
        (height, width) of the file, which may have oblong pixels.
    """
    return square_mm * square_size[0] / size[0], square_mm * square_size[1] / size[1]
