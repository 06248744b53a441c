"""Boxes of prompts: margins in millimetres, and random displacements of the sides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MOST_INWARD = 0.45
"""Largest share of its height or width by which a drawn box loses a side, so that something is left of it."""

Floats = npt.NDArray[np.float64]


def expand_boxes(boxes: Floats, margin_mm: float, spacing_mm: Floats, sizes: Floats) -> Floats:
    """Add a margin on each side of boxes and clip them to their images.

    Parameters
    ----------
    boxes
        (N, 4): y0, x0, y1, x1 in canonical pixels, half-open.
    margin_mm
        Margin in millimetres, the same on each side.
    spacing_mm
        (N, 2): row and column spacing of each box's image in millimetres.
    sizes
        (N, 2): height and width of each box's image in pixels.

    Returns
    -------
    ndarray
        (N, 4), as `boxes`.
    """
    margin = margin_mm / spacing_mm
    low = np.clip(boxes[:, :2] - margin, 0, sizes)
    high = np.clip(boxes[:, 2:] + margin, 0, sizes)
    return np.concatenate([low, high], axis=1)


def jitter_box(box: Floats, most: Floats, size: Floats, generator: np.random.Generator) -> Floats:
    """Move each side of a box for itself, in or out, by an evenly drawn distance, and clip it to its image.

    Parameters
    ----------
    box
        (4,): y0, x0, y1, x1 in canonical pixels, half-open.
    most
        (2,): the largest distance along rows and columns in pixels. Inward no side moves by more than 45 % of the
        box, so that a box stays one.
    size
        (2,): height and width of the image.
    generator
        Of this box alone.
    """
    inward = np.minimum(most, MOST_INWARD * (box[2:] - box[:2]))
    low = box[:2] + generator.uniform(-most, inward)
    high = box[2:] + generator.uniform(-inward, most)
    return np.concatenate([np.clip(low, 0, size), np.clip(high, 0, size)])
