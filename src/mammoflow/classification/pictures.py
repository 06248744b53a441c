"""Network inputs of EfficientNet: the lesion cut out along its mask, or the whole breast."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.classification.cases import Cases
from mammoflow.run.runtime import progress
from mammoflow.storage.files import read_image, read_mask

Grey = npt.NDArray[np.uint16]
Mask = npt.NDArray[np.bool_]
Item = TypeVar("Item")
Result = TypeVar("Result")

SMALLEST_MARGIN_PX = 2


@dataclass(frozen=True)
class Region:
    """A rectangle of whole canonical pixels, half-open, that may reach beyond the image."""

    y0: int
    x0: int
    y1: int
    x1: int


def region_around(
    box: tuple[float, float, float, float], margin: float, row_spacing_mm: float, column_spacing_mm: float
) -> Region:
    """Return the region around a box that is square in millimetres.

    Parameters
    ----------
    box
        y0, x0, y1, x1 in canonical pixels.
    margin
        Added on each side, as a share of the box's longer side; at least two pixels.
    row_spacing_mm, column_spacing_mm
        Canonical pixel spacing.
    """
    y0, x0, y1, x1 = box
    side_mm = max((y1 - y0) * row_spacing_mm, (x1 - x0) * column_spacing_mm) * (1 + 2 * margin)
    height = max(side_mm / row_spacing_mm, y1 - y0 + 2 * SMALLEST_MARGIN_PX)
    width = max(side_mm / column_spacing_mm, x1 - x0 + 2 * SMALLEST_MARGIN_PX)
    top, left = round((y0 + y1 - height) / 2), round((x0 + x1 - width) / 2)
    return Region(top, left, top + round(height), left + round(width))


def cut(image: npt.NDArray[np.generic], y0: int, x0: int, y1: int, x1: int) -> npt.NDArray[np.generic]:
    """Return image[y0:y1, x0:x1], with 0 where that lies outside the image."""
    height, width = image.shape
    result = np.zeros((y1 - y0, x1 - x0), image.dtype)
    # an end below 0 would count from the far side
    inside = image[max(y0, 0) : max(min(y1, height), 0), max(x0, 0) : max(min(x1, width), 0)]
    if inside.size:
        top, left = max(-y0, 0), max(-x0, 0)
        result[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return result


def resize(image: npt.NDArray[np.generic], side: int) -> npt.NDArray[np.float32]:
    """Resize to (side, side), by area where it shrinks, so that no texture folds over."""
    method = cv2.INTER_AREA if max(image.shape) > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image.astype(np.float32), (side, side), interpolation=method), dtype=np.float32)


@dataclass(frozen=True)
class LesionFiles:
    """What is read for one masked crop."""

    image: Path
    patch: Path
    mask: Path | None
    box: tuple[float, float, float, float]
    spacing_mm: tuple[float, float]
    patch_spacing_mm: float
    patch_corner: tuple[float, float]


def masked_crop(files: LesionFiles, margin: float, side: int) -> tuple[Grey, bool]:
    """Return the lesion cut out along its mask, and whether its box had to stand in for an empty mask.

    The grey levels come from the film-resolution patch where that is finer than the canonical image and holds the
    whole region, otherwise from the canonical image. Pixels outside the mask are 0.

    Returns
    -------
    picture, fallback
        (side, side) uint16, and True where the annotated box was used, unmasked.
    """
    mask = read_mask(files.mask) if files.mask else None
    fallback = mask is None or not mask.any()
    box = files.box
    if mask is not None and not fallback:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (float(rows[0]), float(columns[0]), float(rows[-1] + 1), float(columns[-1] + 1))
    region = region_around(box, margin, *files.spacing_mm)
    levels = _levels(files, region, side)
    if mask is None or fallback:
        return _as_grey(levels), True
    kept = resize(cut(mask, region.y0, region.x0, region.y1, region.x1).astype(np.float32), side) > 0.5
    return _as_grey(levels * kept), False


def _levels(files: LesionFiles, region: Region, side: int) -> npt.NDArray[np.float32]:
    if files.patch_spacing_mm < 0.95 * min(files.spacing_mm):
        patch = read_image(files.patch)
        scale = np.array(files.spacing_mm) / files.patch_spacing_mm
        low = np.round((np.array([region.y0, region.x0]) - files.patch_corner) * scale).astype(int)
        high = np.round((np.array([region.y1, region.x1]) - files.patch_corner) * scale).astype(int)
        if (low >= 0).all() and (high <= patch.shape).all():
            return resize(patch[low[0] : high[0], low[1] : high[1]], side)
    return resize(cut(read_image(files.image), region.y0, region.x0, region.y1, region.x1), side)


def breast_picture(image_file: Path, breast_file: Path, side: int) -> Grey:
    """Return the breast of a canonical image (side, side), cut to its region, padded to a square, 0 outside."""
    image, breast = read_image(image_file), read_mask(breast_file)
    if not breast.any():
        breast = np.ones(image.shape, dtype=np.bool_)
    rows, columns = np.flatnonzero(breast.any(axis=1)), np.flatnonzero(breast.any(axis=0))
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    length = max(y1 - y0, x1 - x0)
    top, left = y0 - (length - (y1 - y0)) // 2, x0 - (length - (x1 - x0)) // 2
    return _as_grey(resize(cut(np.where(breast, image, 0), top, left, top + length, left + length), side))


def masked_crops(cases: Cases, masks: list[Path | None], margin: float, side: int, threads: int) -> tuple[Grey, Mask]:
    """Read all masked crops (lesions, side, side) and tell (lesions,) where the box stood in for the mask."""
    images = cases.images.to_dict("records")
    files = [
        lesion_files(lesion, images[lesion["image_index"]], mask)
        for lesion, mask in zip(cases.lesions.to_dict("records"), masks, strict=True)
    ]
    results = _in_threads(lambda item: masked_crop(item, margin, side), files, threads, "masked crops")
    return np.stack([picture for picture, _ in results]), np.array(
        [fallback for _, fallback in results], dtype=np.bool_
    )


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


def breast_pictures(cases: Cases, side: int, threads: int) -> Grey:
    """Read the breast of every image (images, side, side)."""
    files = [
        (Path(row["folder"]) / row["image_file"], Path(row["folder"]) / row["breast_file"])
        for row in cases.images.to_dict("records")
    ]
    return np.stack(_in_threads(lambda item: breast_picture(*item, side), files, threads, "breast pictures"))


def _in_threads(work: Callable[[Item], Result], items: list[Item], threads: int, label: str) -> list[Result]:
    with ThreadPoolExecutor(max(1, threads)) as pool:
        return list(progress(pool.map(work, items), label, total=len(items)))


def _as_grey(levels: npt.NDArray[np.float32]) -> Grey:
    return np.clip(np.round(levels), 0, 65535).astype(np.uint16)
