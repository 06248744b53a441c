"""Colour pictures that the image stage kept beside the grey images, as networks read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.errors import StudyError
from mammoflow.storage.files import read_image

FILE = "colour_file"
TO_16_BIT = 257
"""65535 / 255: levels of colour pictures become those of grey images."""


def colour_file(folder: Path, image: Mapping[Any, Any]) -> Path | None:
    """Return the colour picture of an image, a row of CANONICAL_IMAGES of a shard; None for an image without colours.

    Raises
    ------
    StudyError
        If the image stage did not keep colours.
    """
    if FILE not in image:
        raise StudyError(
            f"{folder / 'images.parquet'} has no column {FILE}, because the image stage did not keep colours; expected "
            "a run with images.colour: keep, or colour: grey"
        )
    return folder / image[FILE] if isinstance(image[FILE], str) else None


def read_colours(folder: Path, image: Mapping[Any, Any]) -> npt.NDArray[np.uint16] | None:
    """Read the colour picture of an image.

    Parameters
    ----------
    folder
        Folder of the shard.
    image
        Its row of CANONICAL_IMAGES.

    Returns
    -------
    ndarray or None
        (height, width, 3) red, green and blue from 0 to 65535 as in a grey image; None for an image without colours.

    Raises
    ------
    StudyError
        If the image stage did not keep colours, or the file is missing or does not have the size of the image.
    """
    path, size = colour_file(folder, image), (int(image["height"]), int(image["width"]))
    if path is None:
        return None
    picture = read_image(path)
    if picture.dtype != np.uint8 or picture.shape != (*size, 3):
        raise StudyError(
            f"colour picture {path} is {picture.dtype} {picture.shape}, expected uint8 {(*size, 3)}; run the image "
            "stage again"
        )
    return picture.astype(np.uint16) * np.uint16(TO_16_BIT)


def check_colours(images: pd.DataFrame, consumer: str) -> None:
    """Refuse to train on colours where no training image has any.

    Parameters
    ----------
    images
        Table CANONICAL_IMAGES; without training images nothing is refused.
    consumer
        What is trained, for the message.

    Raises
    ------
    StudyError
        If no training image has a colour picture.
    """
    training = images[images["split"] == "train"]
    if len(training) and (FILE not in images.columns or training[FILE].isna().all()):
        raise StudyError(
            f"{consumer} has colour: rgb, but none of {len(training)} training images has a colour picture; expected "
            "pictures whose colours differ and images.colour: keep, or colour: grey"
        )
