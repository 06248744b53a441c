"""How the grey levels of a canonical image reach a network that was trained on 8-bit colour pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def grey_to_rgb(image: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """Map a canonical image (height, width) linearly to 8 bit and repeat it in three channels (height, width, 3).

    65535 becomes 255 and nothing is stretched, so that equal film densities stay equal over a study.
    """
    levels = np.round(image.astype(np.float32) / 257.0).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)
