"""Canonical images as networks read them: grey levels, or the colours that the image stage kept beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mammoflow.errors import StudyError
from mammoflow.imaging.kept_colours import colour_file, read_colours
from mammoflow.storage.files import read_image

Levels = npt.NDArray[np.uint16]
"""(height, width) grey levels, or (height, width, 3) red, green and blue, from 0 to 65535."""


def read_canonical(path: Path, size: tuple[int, int]) -> npt.NDArray[np.uint16]:
    """Read a canonical image and hold it to the size (height, width) that its table gives.

    Raises
    ------
    StudyError
        If it is not 16-bit grey of that size.
    """
    image = read_image(path)
    if image.dtype != np.uint16 or image.shape != size:
        raise StudyError(
            f"canonical image {path} is {image.dtype} {image.shape}, expected uint16 {size}; run the image stage again"
        )
    return image.astype(np.uint16, copy=False)


def read_levels(folder: Path, image: Mapping[Any, Any], colour: str) -> Levels:
    """Read an image for a network that sees grey levels or colours.

    Parameters
    ----------
    folder
        Folder of the shard.
    image
        Its row of CANONICAL_IMAGES.
    colour
        What the network sees: `grey` or `rgb`.

    Returns
    -------
    ndarray
        (height, width, 3) where the network sees colours and the picture has some; otherwise (height, width).

    Raises
    ------
    StudyError
        If a file is missing or does not have the size of the image, or the image stage did not keep colours.
    """
    levels = read_colours(folder, image) if colour == "rgb" else None
    if levels is None:
        levels = read_canonical(folder / image["image_file"], (int(image["height"]), int(image["width"])))
    return levels


def levels_digest(folder: Path, image: Mapping[Any, Any], colour: str) -> str:
    """Return the digest of the picture that `read_levels` reads: that of its colours, or of its grey levels.

    Raises
    ------
    StudyError
        If the network sees colours, and the image stage did not keep them.
    """
    in_colour = colour == "rgb" and colour_file(folder, image) is not None
    return str(image["colour_digest" if in_colour else "digest"])
