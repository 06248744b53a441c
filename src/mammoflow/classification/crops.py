"""Lesions cut out along their masks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mammoflow.classification.cases import Cases
from mammoflow.classification.pictures import Grey, as_grey, cut, resize
from mammoflow.segmentation.scoring.scores import overlap
from mammoflow.storage.files import read_image, read_mask

SMALLEST_MARGIN_PX = 2


@dataclass(frozen=True)
class CropRegion:
    """A rectangle of whole canonical pixels, half-open, that may reach beyond the image."""

    y0: int
    x0: int
    y1: int
    x1: int


def region_around(
    box: tuple[float, float, float, float],
    margin: float,
    row_spacing_mm: float,
    column_spacing_mm: float,
    padding_px: int | None = None,
) -> CropRegion:
    """Return the region around a box that is square in millimetres.

    Parameters
    ----------
    box
        y0, x0, y1, x1 in canonical pixels.
    margin
        Added on each side, as a share of the box's longer side; at least two pixels.
    row_spacing_mm, column_spacing_mm
        Canonical pixel spacing.
    padding_px
        Canonical pixels on each side of the box, in place of the margin.
    """
    y0, x0, y1, x1 = box
    least = SMALLEST_MARGIN_PX if padding_px is None else padding_px
    if padding_px is None:
        side_mm = max((y1 - y0) * row_spacing_mm, (x1 - x0) * column_spacing_mm) * (1 + 2 * margin)
    else:
        side_mm = max((y1 - y0 + 2 * least) * row_spacing_mm, (x1 - x0 + 2 * least) * column_spacing_mm)
    height = max(side_mm / row_spacing_mm, y1 - y0 + 2 * least)
    width = max(side_mm / column_spacing_mm, x1 - x0 + 2 * least)
    top, left = round((y0 + y1 - height) / 2), round((x0 + x1 - width) / 2)
    return CropRegion(top, left, top + round(height), left + round(width))


@dataclass(frozen=True)
class LesionFiles:
    """What is read for one crop."""

    image: Path
    patch: Path
    mask: Path | None
    box: tuple[float, float, float, float]
    spacing_mm: tuple[float, float]
    patch_spacing_mm: float
    patch_corner: tuple[float, float]


def lesion_files(lesion: Mapping[Hashable, Any], image: Mapping[Hashable, Any], mask: Path | None) -> LesionFiles:
    """Gather what is read for a lesion from its row and its image's row."""
    return LesionFiles(
        Path(image["folder"]) / image["image_file"],
        Path(lesion["folder"]) / lesion["patch_file"],
        mask,
        (lesion["y0"], lesion["x0"], lesion["y1"], lesion["x1"]),
        (image["row_spacing_mm"], image["column_spacing_mm"]),
        lesion["patch_spacing_mm"],
        (lesion["patch_y0"], lesion["patch_x0"]),
    )


def files_of_lesions(cases: Cases, masks: list[Path | None]) -> list[LesionFiles]:
    """Gather what is read for each lesion."""
    images = cases.images.to_dict("records")
    return [
        lesion_files(lesion, images[lesion["image_index"]], mask)
        for lesion, mask in zip(cases.lesions.to_dict("records"), masks, strict=True)
    ]


def masked_crop(files: LesionFiles, margin: float, side: int, padding_px: int | None = None) -> tuple[Grey, bool]:
    """Return the lesion cut out along its mask, and whether its box took the place of an empty mask.

    The grey levels come from the film-resolution patch where that is finer than the canonical image and holds the
    whole region, otherwise from the canonical image. Pixels outside the mask are 0. `margin` and `padding_px` are those
    of `region_around`.

    Returns
    -------
    picture, fallback
        (side, side) uint16, and True where the annotated box was used, unmasked.
    """
    mask = read_mask(files.mask) if files.mask else None
    region = _region(files, mask, margin, padding_px)
    levels = _levels(files, region, side)
    if mask is None or not mask.any():
        return as_grey(levels), True
    return as_grey(levels * (_cover(mask, region, side) > 0.5)), False


def cover_of_crop(
    files: LesionFiles, lesion: Path, margin: float, side: int, padding_px: int | None = None
) -> npt.NDArray[np.float32]:
    """Return which share of each pixel (side, side) of a crop a mask covers.

    `lesion` is the file of the mask to be brought onto the crop, the rest as for `masked_crop`.
    """
    mask = read_mask(files.mask) if files.mask else None
    return _cover(read_mask(lesion), _region(files, mask, margin, padding_px), side)


def _region(
    files: LesionFiles, mask: npt.NDArray[np.bool_] | None, margin: float, padding_px: int | None
) -> CropRegion:
    """Return the region around the mask, or around the annotated box where the mask is empty or absent."""
    box = files.box
    if mask is not None and mask.any():
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (float(rows[0]), float(columns[0]), float(rows[-1] + 1), float(columns[-1] + 1))
    return region_around(box, margin, *files.spacing_mm, padding_px)


def _cover(mask: npt.NDArray[np.bool_], region: CropRegion, side: int) -> npt.NDArray[np.float32]:
    return resize(cut(mask, region.y0, region.x0, region.y1, region.x1).astype(np.float32), side)


def mask_dice(masks: list[Path | None], references: list[Path | None]) -> npt.NDArray[np.float64]:
    """Return the Dice (lesions,) of each mask with its reference: 0 without a mask, NaN without a reference."""
    return np.array([_dice(mask, reference) for mask, reference in zip(masks, references, strict=True)])


def _dice(mask: Path | None, reference: Path | None) -> float:
    if reference is None:
        return float("nan")
    return float(overlap(read_mask(mask)[None], read_mask(reference)[None]).dice[0]) if mask else 0.0


def _levels(files: LesionFiles, region: CropRegion, side: int) -> npt.NDArray[np.float32]:
    if files.patch_spacing_mm < 0.95 * min(files.spacing_mm):
        patch = read_image(files.patch)
        scale = np.array(files.spacing_mm) / files.patch_spacing_mm
        low = np.round((np.array([region.y0, region.x0]) - files.patch_corner) * scale).astype(int)
        high = np.round((np.array([region.y1, region.x1]) - files.patch_corner) * scale).astype(int)
        if (low >= 0).all() and (high <= patch.shape).all():
            return resize(patch[low[0] : high[0], low[1] : high[1]], side)
    return resize(cut(read_image(files.image), region.y0, region.x0, region.y1, region.x1), side)
