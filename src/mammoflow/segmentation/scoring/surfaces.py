"""Masks cut to their box, and the distances between the surfaces of two of them.

The definitions are those of Metrics Reloaded (Maier-Hein, Reinke et al., Nature Methods 2024). The surface of a mask is
its pixels that share an edge with the background; the border of the image counts as background. A distance goes from
the centre of a surface pixel of one mask to the nearest of the other. The 95th percentile of the Hausdorff distance is
the larger of the two directed percentiles; the average symmetric surface distance is the mean over the distances of
both directions. Distances are Euclidean in millimetres with the spacing of each axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Mask = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
Spacing = tuple[float, float]

PERCENTILE = 95.0


@dataclass(frozen=True, eq=False)
class CutMask:
    """A mask cut to the box around it.

    Attributes
    ----------
    top, left
        Where the box begins on the mask's grid.
    pixels
        (rows, columns) of the box; (0, 0) for an empty mask.
    spacing
        Millimetres from row to row and from column to column.
    """

    top: int
    left: int
    pixels: Mask
    spacing: Spacing

    @classmethod
    def of(cls, mask: Mask, spacing: Spacing) -> CutMask:
        """Cut a mask (height, width)."""
        rows = np.flatnonzero(mask.any(axis=1))
        if rows.size == 0:
            return cls(0, 0, np.zeros((0, 0), dtype=np.bool_), spacing)
        band = mask[rows[0] : rows[-1] + 1]
        columns = np.flatnonzero(band.any(axis=0))
        pixels = np.ascontiguousarray(band[:, columns[0] : columns[-1] + 1])
        return cls(int(rows[0]), int(columns[0]), pixels, spacing)

    @cached_property
    def area(self) -> int:
        """Number of its pixels."""
        return int(np.count_nonzero(self.pixels))

    @cached_property
    def surface(self) -> npt.NDArray[np.int64]:
        """(points, 2) rows and columns of its surface pixels on the mask's grid."""
        padded = np.pad(self.pixels, 1)
        inside = padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
        rows, columns = np.nonzero(self.pixels & ~inside)
        return np.stack([rows + self.top, columns + self.left], axis=1)

    @cached_property
    def surface_mm(self) -> FloatArray:
        """(points, 2) centres of its surface pixels in millimetres."""
        return np.asarray(self.surface * np.array([self.spacing]), dtype=np.float64)

    @cached_property
    def tree(self) -> cKDTree:
        """Its surface, to be searched; kept, since a reference is searched once for every prompt and iteration."""
        # Cells cut in the middle, not at the median: half the time on the rings that surfaces are.
        from scipy.spatial import cKDTree  # slow to import, and masks without a reference need no distances

        return cKDTree(self.surface_mm, leafsize=32, balanced_tree=False, compact_nodes=False)

    def shared(self, other: CutMask) -> int:
        """Count the pixels that two masks of one grid share."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = (
            min(start + side, other_start + other_side)
            for start, side, other_start, other_side in zip(
                (self.top, self.left), self.pixels.shape, (other.top, other.left), other.pixels.shape, strict=True
            )
        )
        if bottom <= top or right <= left:
            return 0
        pixels = [
            cut.pixels[top - cut.top : bottom - cut.top, left - cut.left : right - cut.left] for cut in (self, other)
        ]
        return int(np.count_nonzero(pixels[0] & pixels[1]))


def surface_distances(first: CutMask, second: CutMask) -> tuple[FloatArray, FloatArray]:
    """Return the distance of each surface pixel of one mask to the other's surface, in both directions.

    Parameters
    ----------
    first, second
        Masks of one grid with the same spacing, neither of them empty.

    Returns
    -------
    tuple
        (points of first,) and (points of second,) in millimetres.
    """
    there, _ = second.tree.query(first.surface_mm)
    back, _ = first.tree.query(second.surface_mm)
    return there, back


def hausdorff_95_and_mean(first: CutMask, second: CutMask) -> tuple[float, float]:
    """Return the 95th percentile of the Hausdorff distance and the average symmetric surface distance in millimetres.

    Both are 0 where both masks are empty and not defined (NaN) where one of them is.
    """
    if first.area == 0 or second.area == 0:
        undefined = float("nan") if first.area or second.area else 0.0
        return undefined, undefined
    there, back = surface_distances(first, second)
    percentiles = [float(np.percentile(distances, PERCENTILE)) for distances in (there, back)]
    return max(percentiles), float((there.sum() + back.sum()) / (len(there) + len(back)))
