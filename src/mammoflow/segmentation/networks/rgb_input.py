"""How a canonical image reaches a network that was trained on 8-bit colour pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def to_rgb(image: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """Map an image linearly to 8 bit; 65535 becomes 255 and nothing is stretched.

    So equal film densities stay equal over a study, and kept colours become what they were.

    Parameters
    ----------
    image
        Grey levels (height, width), which are repeated in three channels, or red, green and blue (height, width, 3).

    Returns
    -------
    ndarray
        (height, width, 3).
    """
    levels = np.round(image.astype(np.float32) / 257.0).astype(np.uint8)
    return levels if levels.ndim == 3 else np.repeat(levels[..., None], 3, axis=2)
