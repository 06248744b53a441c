"""A lesion's patch with its mask and breast region, at the spacing at which features are computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.errors import ConfigError, ExcludedCase
from mammoflow.features.other_breast import BreastPicture, as_square, landmark, mirrored_place, other_images, window
from mammoflow.imaging.geometry import Mask, Row, mask_to_patch, resample, shrink_mask
from mammoflow.reasons.features import FeatureReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.storage.files import read_image, read_mask
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS, IN_PIXELS
from mammoflow.tables.masks import MASKS


@dataclass(frozen=True)
class LesionPatch:
    """What features are computed from.

    Attributes
    ----------
    image
        (rows, columns) float32 in the 16-bit grey levels of the film.
    mask
        (rows, columns): the lesion; at least one pixel.
    breast
        (rows, columns): the breast; pixels outside the film are not part of it.
    spacing_mm
        Pixel spacing in millimetres, the same along both axes.
    breasts
        The lesion and the same place of the other breast, both cut from the canonical images at one spacing; None where
        no film shows the other breast, or where they are not asked for. Where the other film faces the other way, it is
        mirrored left-right, so that both have the lesion's mask and the same directions.
    """

    image: npt.NDArray[np.float32]
    mask: Mask
    breast: Mask
    spacing_mm: float
    breasts: tuple[LesionPatch, LesionPatch] | None = None


class PatchFiles:
    """The patches of one shard, read from their files.

    Parameters
    ----------
    images
        Folder of the shard that the image stage wrote.
    masks
        Folder of the shard that the segment stage wrote; needed for predicted masks only.
    source
        Source of the mask that marks the lesion.
    spacing_mm
        Pixel spacing that patches are resampled to; a film with larger pixels keeps its spacing.
    exclude_pectoral
        Whether the pectoral muscle counts as outside the breast, where the image stage found one.
    compares_breasts
        Whether patches have the same place of the other breast too.
    spacing_factor
        What all stated pixel spacings are multiplied with, to see what a wrong spacing does.

    Raises
    ------
    StudyError
        If a table is missing or does not fit.
    ConfigError
        If predicted masks are asked for without their folder.
    """

    def __init__(
        self,
        images: Path,
        masks: Path | None,
        source: Literal["predicted", "reference", "box"],
        spacing_mm: float,
        exclude_pectoral: bool = False,
        compares_breasts: bool = False,
        spacing_factor: float = 1.0,
    ) -> None:
        self.images = images
        self.source = source
        self.spacing_mm = spacing_mm
        self.exclude_pectoral = exclude_pectoral
        self.spacing_factor = spacing_factor
        self.lesions = read_table(images / "lesions.parquet", CANONICAL_LESIONS)
        table = read_table(images / "images.parquet", CANONICAL_IMAGES)
        self._rows: list[Row] = [dict(row) for _, row in self.lesions.iterrows()]
        self._image_rows: dict[str, Row] = {str(row["image_id"]): dict(row) for _, row in table.iterrows()}
        self._others = other_images(table) if compares_breasts else {}
        self._mask_paths: dict[str, Path] = {}
        self._models: dict[str, str] = {}
        if source == "predicted":
            if masks is None:
                raise ConfigError(
                    "mask is predicted, but no folder of masks is given; give one, or set it to reference"
                )
            predicted = read_table(masks / "masks.parquet", MASKS)
            files = [masks / name for name in predicted["mask_file"]]
            self._mask_paths = dict(zip(predicted["lesion_id"], files, strict=True))
            self._models = dict(zip(predicted["lesion_id"], predicted["model"], strict=True))

    def __len__(self) -> int:
        return len(self._rows)

    def keys(self, index: int) -> dict[str, object]:
        """Return the ids of a lesion and the model of its mask by column name."""
        ids = {name: self._rows[index][name] for name in ("lesion_id", "patient_id")}
        return {**ids, "mask_model": self._models.get(str(ids["lesion_id"]), "")}

    def spacing(self, index: int) -> float:
        """Return the pixel spacing in millimetres at which the features of a lesion are computed."""
        return max(self.spacing_mm, self._film_spacing(self._rows[index]))

    def _film_spacing(self, lesion: Row) -> float:
        return float(lesion["patch_spacing_mm"]) * self.spacing_factor

    def read(self, index: int) -> LesionPatch:
        """Read the patch of the lesion in this row of `lesions`.

        Raises
        ------
        ExcludedCase
            If the lesion has no mask, or an empty one, or its image has no pixel spacing.
        StudyError
            If a file of an earlier stage is missing or damaged.
        """
        lesion = self._rows[index]
        if self._image_rows[str(lesion["image_id"])]["spacing_origin"] == IN_PIXELS:
            raise ExcludedCase(
                FeatureReason.NO_MILLIMETRES, "set cohort.dataset.spacing_mm to a number, if only a guess"
            )
        image = np.asarray(read_image(self.images / lesion["patch_file"]), dtype=np.float32)
        shape = (image.shape[0], image.shape[1])
        mask = self._mask(lesion, shape)
        breast = read_mask(self.images / lesion["patch_breast_file"])
        if self.exclude_pectoral:
            breast = self._without_pectoral(lesion, breast, mask)
        spacing_in, spacing_out = self._film_spacing(lesion), self.spacing(index)
        if spacing_out > spacing_in:
            whole = mask
            image, mask, breast = (resample(grid, spacing_in, spacing_out) for grid in (image, mask, breast))
            if not mask.any():  # a pixel that is covered by less than half is not set, and a tiny lesion stays
                mask = shrink_mask(whole, (image.shape[0], image.shape[1]))
        if not mask.any():
            raise ExcludedCase(LesionReason.MASK_EMPTY, f"the {self.source} mask has no pixel on the lesion's patch")
        return LesionPatch(image, mask, breast, spacing_out, self._breasts(lesion))

    def _without_pectoral(self, lesion: Row, breast: Mask, mask: Mask) -> Mask:
        """Take the pectoral muscle out of the breast, unless most of the lesion lies on it."""
        row = self._image_rows[lesion["image_id"]]
        name = row.get("pectoral_file")
        if not isinstance(name, str):
            return breast
        muscle = mask_to_patch(read_mask(self.images / name), lesion, row, (breast.shape[0], breast.shape[1]))
        if _lies_on(mask, muscle):
            return breast
        return np.asarray(breast & (~muscle | mask))

    def _breasts(self, lesion: Row) -> tuple[LesionPatch, LesionPatch] | None:
        """Return the lesion and the same place of the other breast, at the finest spacing that both images have."""
        other = self._others.get(str(lesion["image_id"]))
        if other is None:
            return None
        rows = (self._image_rows[str(lesion["image_id"])], self._image_rows[other])
        sides = [float(row[f"{axis}_spacing_mm"]) for row in rows for axis in ("row", "column")]
        spacing = max(self.spacing_mm, *(side * self.spacing_factor for side in sides))
        canonical = self._canonical_mask(lesion, rows[0])
        breasts = self._canonical_breasts(rows, canonical)
        pictures = [
            self._picture(row, of_row, spacing / self.spacing_factor) for row, of_row in zip(rows, breasts, strict=True)
        ]
        mask = as_square(canonical, rows[0], spacing / self.spacing_factor)
        if not mask.any():
            return None
        centre = tuple(float(np.flatnonzero(mask.any(axis=axis)).mean()) + 0.5 for axis in (1, 0))
        row, column = mirrored_place(centre, *pictures)
        if landmark(pictures[0])[2] != landmark(pictures[1])[2]:
            # A mirror exchanges the directions of texture, so the picture is turned and not the lesion's mask.
            pictures[1] = pictures[1].turned()
            column = pictures[1].breast.shape[1] - column
        side = round(float(lesion["patch_spacing_mm"]) * self._patch_side(lesion) * self.spacing_factor / spacing)
        lesion_mask = np.asarray(window(mask, centre, side), dtype=bool)
        own, mirrored = (
            LesionPatch(
                window(picture.image, place, side),
                lesion_mask,
                np.asarray(window(picture.breast, place, side), dtype=bool),
                spacing,
            )
            for picture, place in zip(pictures, (centre, (row, column)), strict=True)
        )
        return own, mirrored

    def _canonical_breasts(self, rows: tuple[Row, Row], mask: Mask) -> list[Mask]:
        """Return the breast regions of the lesion's image and of the other one, without muscle unless it lies on it."""
        breasts = [read_mask(self.images / row["breast_file"]) for row in rows]
        if not self.exclude_pectoral:
            return breasts
        muscles = [
            read_mask(self.images / row["pectoral_file"])
            if isinstance(row.get("pectoral_file"), str)
            else np.zeros_like(breast)
            for row, breast in zip(rows, breasts, strict=True)
        ]
        if _lies_on(mask, muscles[0]):
            return breasts
        return [np.asarray(breasts[0] & (~muscles[0] | mask)), np.asarray(breasts[1] & ~muscles[1])]

    def _picture(self, row: Row, breast: Mask, spacing: float) -> BreastPicture:
        """Read a canonical image, and bring it with its breast region to square pixels."""
        image = np.asarray(read_image(self.images / row["image_file"]), dtype=np.float32)
        return BreastPicture.of(image, breast, row, spacing)

    def _patch_side(self, lesion: Row) -> int:
        return int(read_mask(self.images / lesion["patch_breast_file"]).shape[0])

    def _canonical_mask(self, lesion: Row, image: Row) -> Mask:
        """Return the mask of a lesion on the grid of its canonical image."""
        if self.source == "box":
            return box_mask(lesion, (int(image["height"]), int(image["width"])))
        if self.source == "reference":
            if pd.isna(lesion["mask_file"]):
                raise ExcludedCase(LesionReason.MASK_NOT_FOUND, "the study gives a box and no reference mask")
            return read_mask(self.images / lesion["mask_file"])
        path = self._mask_paths.get(lesion["lesion_id"])
        if path is None:
            raise ExcludedCase(LesionReason.MASK_NOT_FOUND, "the segment stage wrote no mask for this lesion")
        return read_mask(path)

    def _mask(self, lesion: Row, shape: tuple[int, int]) -> Mask:
        """Return the mask on the grid of the patch file."""
        if self.source == "reference":
            if pd.isna(lesion["patch_mask_file"]):
                raise ExcludedCase(LesionReason.MASK_NOT_FOUND, "the study gives a box and no reference mask")
            return read_mask(self.images / lesion["patch_mask_file"])
        row = self._image_rows[lesion["image_id"]]
        if self.source == "box":
            return box_on_patch(lesion, row, shape)
        return mask_to_patch(self._canonical_mask(lesion, row), lesion, row, shape)


def box_mask(lesion: Row, shape: tuple[int, int]) -> Mask:
    """Return the box of a lesion, filled, on the grid of its canonical image (rows, columns); at least one pixel."""
    return _filled_box([float(lesion[name]) for name in ("y0", "x0", "y1", "x1")], shape)


def box_on_patch(lesion: Row, image: Row, shape: tuple[int, int]) -> Mask:
    """Return the box of a lesion, filled, on the grid of its patch (rows, columns); at least one pixel."""
    corner = [float(lesion["patch_y0"]), float(lesion["patch_x0"])] * 2
    scale = [float(lesion["patch_spacing_mm"]) / float(image[f"{axis}_spacing_mm"]) for axis in ("row", "column")] * 2
    edges = [float(lesion[name]) for name in ("y0", "x0", "y1", "x1")]
    return _filled_box([(edge - start) / size for edge, start, size in zip(edges, corner, scale, strict=True)], shape)


def _filled_box(box: list[float], shape: tuple[int, int]) -> Mask:
    """Return a mask of the pixels whose centres are in a half-open box (y0, x0, y1, x1)."""
    filled = np.zeros(shape, dtype=bool)
    y0, x0 = (max(0, round(edge)) for edge in box[:2])
    y1, x1 = (max(low + 1, round(edge)) for low, edge in zip((y0, x0), box[2:], strict=True))
    filled[y0:y1, x0:x1] = True
    return filled


def _lies_on(mask: Mask, muscle: Mask) -> bool:
    """Tell whether more than half of a lesion is on the pectoral muscle."""
    return bool(2 * np.count_nonzero(mask & muscle) > np.count_nonzero(mask))
