"""The same place of the other breast: a lesion's surroundings beside their mirror image, for left-right asymmetry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.errors import ExcludedCase
from mammoflow.imaging.geometry import Mask, Row, crop, resize
from mammoflow.imaging.laterality import image_side
from mammoflow.reasons.features import FeatureReason

OTHER = {"L": "R", "R": "L"}
UNKNOWN_VIEWS = ("", "unknown")


def other_images(images: pd.DataFrame) -> dict[str, str]:
    """Return for each image the image of the other breast of the same patient in the same view.

    Of several, the first by `image_id` is taken. An image whose side or view is unknown has none. Both breasts of a
    patient are in one shard and in one part of the split by patient.

    Parameters
    ----------
    images
        Table of canonical images: `image_id`, `patient_id`, `laterality`, `view`, `split`.
    """
    by_place: dict[tuple[str, ...], str] = {}
    table = images.sort_values("image_id")
    places = {
        str(row["image_id"]): tuple(str(row[name]) for name in ("patient_id", "view", "split", "laterality"))
        for row in table.to_dict("records")
    }
    for image_id, place in places.items():
        by_place.setdefault(place, image_id)
    pairs = {}
    for image_id, (patient, view, split, side) in places.items():
        if side not in OTHER or view in UNKNOWN_VIEWS:
            continue
        other = by_place.get((patient, view, split, OTHER[side]))
        if other is not None:
            pairs[image_id] = other
    return pairs


@dataclass(frozen=True)
class BreastPicture:
    """A breast as the image stage found it.

    Attributes
    ----------
    image
        (rows, columns) float32 in the 16-bit grey levels of the film.
    breast
        (rows, columns): the breast region.
    spacing_mm
        Pixel spacing in millimetres, the same along both axes.
    """

    image: npt.NDArray[np.float32]
    breast: Mask
    spacing_mm: float

    @classmethod
    def of(cls, image: npt.NDArray[np.float32], breast: Mask, row: Row, spacing_mm: float) -> BreastPicture:
        """Bring a canonical image (rows, columns) of a row of CANONICAL_IMAGES to square pixels."""
        return cls(as_square(image, row, spacing_mm), as_square(breast, row, spacing_mm).astype(bool), spacing_mm)

    def turned(self) -> BreastPicture:
        """Return its mirror image, left and right exchanged."""
        image, breast = self.image[:, ::-1], self.breast[:, ::-1]
        return BreastPicture(np.ascontiguousarray(image), np.ascontiguousarray(breast), self.spacing_mm)


def as_square(grid: npt.NDArray[np.float32] | Mask, row: Row, spacing_mm: float) -> npt.NDArray[np.float32]:
    """Bring a canonical image or mask (rows, columns) to square pixels of this spacing."""
    sides = (float(row["row_spacing_mm"]), float(row["column_spacing_mm"]))
    shape = tuple(max(1, round(size * side / spacing_mm)) for size, side in zip(grid.shape, sides, strict=True))
    return np.asarray(resize(grid, (shape[0], shape[1])))


def landmark(picture: BreastPicture) -> tuple[float, float, bool]:
    """Return the row of the nipple, the column of the chest wall, and whether the chest wall is on the left.

    The nipple is taken as the most anterior part of the breast region: the middle of the rows that come within 1 mm of
    its greatest distance from the chest wall. The chest wall is the breast region's edge on the side with more of the
    breast.

    Returns
    -------
    tuple
        Row and column in pixels, and the side.

    Raises
    ------
    ExcludedCase
        If the breast region is empty.
    """
    if not picture.breast.any():
        raise ExcludedCase(FeatureReason.FEATURES_UNDEFINED, "the breast region of a film is empty")
    on_left = image_side(np.ones(picture.breast.shape, dtype=np.uint16), picture.breast) != "right"
    breast = picture.breast if on_left else picture.breast[:, ::-1]
    columns = np.flatnonzero(breast.any(axis=0))
    reach = np.where(breast.any(axis=1), breast.shape[1] - np.argmax(breast[:, ::-1], axis=1), -np.inf)
    anterior = np.flatnonzero(reach >= reach.max() - 1.0 / picture.spacing_mm)
    wall = float(columns[0]) if on_left else float(breast.shape[1] - columns[0])
    return float(anterior.mean()) + 0.5, wall, on_left


def mirrored_place(place: Sequence[float], own: BreastPicture, other: BreastPicture) -> tuple[float, float]:
    """Return the place in the other breast that mirrors a place (y, x) of one breast, in pixels.

    The mirror image has the same distance from the chest wall and the same distance above or below the nipple, in
    millimetres. The breasts are not deformed to fit.
    """
    own_row, own_wall, own_left = landmark(own)
    row, wall, on_left = landmark(other)
    depth = (place[1] - own_wall) * (1 if own_left else -1)
    return place[0] - own_row + row, wall + depth * (1 if on_left else -1)


def window(grid: npt.NDArray[np.float32] | Mask, centre: Sequence[float], side_px: int) -> npt.NDArray[np.float32]:
    """Cut a square (side, side) around a place (y, x); outside the grid it is 0."""
    y0, x0 = (math.floor(value - side_px / 2 + 0.5) for value in centre)
    return np.asarray(crop(grid, (y0, x0, y0 + side_px, x0 + side_px)))
