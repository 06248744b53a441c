"""How much of a saliency map lies on the lesion, and how much would by chance.

The pointing game asks whether the maximum of a map lies on the object, with a tolerance (Zhang et al., International
Journal of Computer Vision 126, 2018). The energy-based pointing game is the share of a map's sum that lies on the
object (Wang et al., CVPR Workshops 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

Map = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MapScores:
    """What one map and one mask give; the names are those of the columns of SALIENCY.

    Attributes
    ----------
    pointing_hit
        1 where the maximum of the map is within the tolerance of the mask, 0 elsewhere, None without a maximum.
    pointing_chance
        Share of the picture within the tolerance of the mask: what a maximum anywhere would hit.
    centre_hit
        1 where the centre of the picture is within the tolerance of the mask.
    energy_inside
        Share of the map's sum inside the mask; None where the map is 0 everywhere.
    mask_share
        Share of the picture inside the mask: what a constant map would give.
    """

    pointing_hit: int | None
    pointing_chance: float
    centre_hit: int
    energy_inside: float | None
    mask_share: float


def mask_of_cover(cover: Map) -> Mask:
    """Return the pixels that a lesion covers by more than half; of a tiny lesion those that it covers most.

    Parameters
    ----------
    cover
        (side, side) share of each pixel that the lesion covers.
    """
    mask = cover > 0.5
    return mask if mask.any() else (cover == cover.max()) & (cover > 0)


def map_scores(saliency: Map, mask: Mask, tolerance: float) -> MapScores:
    """Hold a map against a mask.

    Parameters
    ----------
    saliency
        (side, side), not negative.
    mask
        (side, side), not empty.
    tolerance
        Largest distance of a hit from the mask, as a share of the side.
    """
    near = distance_transform_edt(~mask) <= tolerance * len(mask)
    total = float(saliency.sum(dtype=np.float64))
    middle = len(mask) // 2
    return MapScores(
        pointing_hit=int(near[maximum(saliency)]) if total > 0 else None,
        pointing_chance=float(near.mean()),
        centre_hit=int(near[middle, middle]),
        energy_inside=min(float(saliency[mask].sum(dtype=np.float64)) / total, 1.0) if total > 0 else None,
        mask_share=float(mask.mean()),
    )


def maximum(saliency: Map) -> tuple[int, int]:
    """Return row and column of the maximum; of several equal pixels the one nearest to their mean position.

    An enlarged map is flat at the edge of the picture, where the first of the equal pixels would be a corner.
    """
    places = np.argwhere(saliency == saliency.max())
    nearest = np.argmin(((places - places.mean(axis=0)) ** 2).sum(axis=1))
    return int(places[nearest, 0]), int(places[nearest, 1])
