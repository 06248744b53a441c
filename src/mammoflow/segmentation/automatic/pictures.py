"""Canonical images, grey or in colours, on the grid of an automatic network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mammoflow.imaging.kept_colours import read_colours
from mammoflow.segmentation.embedding.embeddings import read_canonical
from mammoflow.segmentation.protocol.network_input import NetworkInput

Levels = npt.NDArray[np.uint16]
"""(rows, columns) grey levels, or (rows, columns, 3) red, green and blue, from 0 to 65535."""


def read_placed(folder: Path, image: Mapping[Any, Any], grid: NetworkInput) -> Levels:
    """Read an image as a network sees it.

    Parameters
    ----------
    folder
        Folder of the shard.
    image
        Its row of CANONICAL_IMAGES.
    grid
        The network's grid; it says whether the colours of a picture are read.

    Returns
    -------
    ndarray
        (rows, columns, 3) where the network sees colours and the picture has some; otherwise (rows, columns).

    Raises
    ------
    StudyError
        If a file is missing or does not have the size of the image, or the image stage did not keep colours.
    """
    spacing_mm = (float(image["row_spacing_mm"]), float(image["column_spacing_mm"]))
    levels = read_colours(folder, image) if grid.colour == "rgb" else None
    if levels is None:
        levels = read_canonical(folder / image["image_file"], (int(image["height"]), int(image["width"])))
    return grid.place(levels, spacing_mm)
