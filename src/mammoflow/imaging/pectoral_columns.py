"""The pectoral muscle in the table of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mammoflow.imaging.geometry import Mask
from mammoflow.imaging.grey import Grey
from mammoflow.imaging.lesion import FilmGrid
from mammoflow.imaging.pectoral import SIDE_VIEWS, find_pectoral
from mammoflow.storage.files import write_mask

COLUMNS = ("file", "share", "angle_deg", "top_mm", "side_mm", "contrast")


def write_pectoral(output: Path, path: str, canonical: Grey, breast: Mask, grid: FilmGrid, view: str) -> dict[str, Any]:
    """Find the pectoral muscle on a side view, write its mask, and return its columns of CANONICAL_IMAGES.

    Parameters
    ----------
    output
        Folder of the shard.
    path
        Of the mask, relative to it.
    canonical, breast
        (height, width) grey levels and breast region of the canonical image.
    grid
        The film and its canonical image.
    view
        The view; the muscle is searched on side views only, and "" searches none.
    """
    row: dict[str, Any] = {f"pectoral_{name}": None for name in COLUMNS}
    muscle = find_pectoral(canonical, breast) if view in SIDE_VIEWS else None
    if muscle is None:
        return row
    write_mask(output / path, muscle.mask)
    rows, across = grid.scale
    share = np.count_nonzero(muscle.mask) / np.count_nonzero(breast)
    top_mm, side_mm = muscle.top * grid.spacing_mm / across, muscle.side * grid.spacing_mm / rows
    values = (path, share, muscle.angle_deg, top_mm, side_mm, muscle.contrast)
    return dict(zip(row, values, strict=True))
