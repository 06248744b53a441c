"""Canonical images, grey or in colours, on the grid of an automatic network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mammoflow.imaging.canonical import Levels, read_levels
from mammoflow.segmentation.protocol.network_input import NetworkInput


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
    return grid.place(read_levels(folder, image, grid.colour), spacing_mm)
