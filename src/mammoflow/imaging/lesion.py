"""One lesion on one film: its reference mask or box, measured at film resolution, and the patch cut around it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.cohort.boxes import check_box, clip_box, overlap
from mammoflow.config.images import ImagesSettings
from mammoflow.errors import ExcludedCase
from mammoflow.formats.contour_files import choose_contours, is_contour_file, read_contours
from mammoflow.formats.study_paths import safe_path
from mammoflow.imaging.contours import beyond_film, draw_contours
from mammoflow.imaging.geometry import Box, Mask, box_of, crop, longest_diameter_mm, resize, sample_mask, shrink_mask
from mammoflow.imaging.grey import Grey
from mammoflow.imaging.mask_checks import TINY_PX, check_mask, check_share, far_apart, is_hollow
from mammoflow.imaging.roi_mask import read_roi_mask
from mammoflow.imaging.volume_slices import read_mask_slice
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.lesions import LesionReason

EVEN_RATIO = 0.01  # largest difference between the ratios of film to mask for rows and for columns
SAME_BOX = 0.5  # smallest intersection over union of the mask's box and the table's
BOX_COLUMNS = ("box_y0", "box_x0", "box_y1", "box_x1")
PATCH_MARGIN_MM = 30.0  # a patch is at least this much wider than the lesion's box
Shape = tuple[int, int]


@dataclass(frozen=True)
class FilmGrid:
    """The three grids of an image and their spacing.

    Attributes
    ----------
    stored
        (height, width) of the file; the case table gives boxes in these pixels.
    film
        (height, width) with square pixels; equal to `stored` unless the pixels of the file are not square.
    canonical
        (height, width) of the canonical image.
    spacing_mm
        Millimetres per film pixel.
    """

    stored: Shape
    film: Shape
    canonical: Shape
    spacing_mm: float

    @property
    def scale(self) -> tuple[float, float]:
        """Canonical pixels per film pixel, for rows and columns."""
        return self.canonical[0] / self.film[0], self.canonical[1] / self.film[1]


@dataclass(frozen=True)
class Reference:
    """The reference annotation of a lesion, in film pixels.

    Attributes
    ----------
    mask
        (height, width) of the film, or None for a study of boxes.
    box
        Half-open box around the mask, or the box of the case table, clipped to the film.
    flags
        Columns of CANONICAL_LESIONS: what was mended on the way, and what is unlikely.
    """

    mask: Mask | None
    box: Box
    flags: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Patch:
    """Square cut of the film around a lesion.

    Attributes
    ----------
    image, breast, mask
        Grey levels, breast region and reference mask (None for a study of boxes) on one grid (side, side).
    corner
        Top left corner in canonical pixels (y, x).
    spacing_mm
        Millimetres per patch pixel.
    """

    image: Grey
    breast: Mask
    mask: Mask | None
    corner: tuple[float, float]
    spacing_mm: float


def read_reference(
    study: Path, lesion: Mapping[str, Any], grid: FilmGrid, settings: ImagesSettings | None = None
) -> Reference:
    """Read the reference of a row of the LESIONS table: its mask, or its box where it has no mask.

    Parameters
    ----------
    study
        Folder that the paths are relative to.
    lesion
        Row of the LESIONS table.
    grid
        The grids of the image.
    settings
        Settings of masks; None takes the defaults.

    Raises
    ------
    ExcludedCase
        With the reason, where the mask's file, shape or content, or the box, cannot be used.
    """
    settings = settings or ImagesSettings()
    path = lesion["mask_path"]
    if isinstance(path, str) and path:
        mask, flags = _read_mask(safe_path(study, path), lesion, grid, settings)
        box = box_of(mask)
        if box is None:
            raise ExcludedCase(LesionReason.MASK_EMPTY, "no pixel is left of the mask at the film's size")
        flags |= {
            "flag_mask_tiny": int(np.count_nonzero(mask)) < TINY_PX,
            "flag_mask_hollow": is_hollow(mask),
            "flag_mask_scattered": far_apart(mask),
            "flag_box_differs": _box_differs(lesion, box, grid),
        }
        return Reference(mask, box, flags)
    corners = [lesion[name] for name in BOX_COLUMNS]
    if any(pd.isna(corner) for corner in corners):
        raise ExcludedCase(LesionReason.MASK_NOT_FOUND, "the row names neither a mask nor a whole box")
    return _read_box(corners, grid, settings)


def _read_mask(
    path: Path, lesion: Mapping[str, Any], grid: FilmGrid, settings: ImagesSettings
) -> tuple[Mask, dict[str, bool]]:
    """Read a mask at film resolution, from a picture or from contours, and its flags."""
    regions, value = (_text(lesion.get(name)) for name in ("mask_item", "mask_value"))
    place = _text(lesion.get("volume_slice"))
    if place is not None:
        mask = fit_mask(read_mask_slice(path, place, value or ""), grid)
        check_mask(mask, settings)
        return mask, {"flag_mask_rescaled": False}
    if is_contour_file(path):
        contours = choose_contours(read_contours(path), regions)
        mask = draw_contours(contours, grid.stored, grid.film)
        check_share(float(mask.mean()), settings, "contour")
        return mask, {"flag_box_clipped": beyond_film(contours, grid.stored)}
    if regions is not None:
        detail = f"mask_item is {regions[:40]!r}, but {path.name} is a picture and not a file of contours"
        raise ExcludedCase(FileReason.CONTOURS, detail)
    read = read_roi_mask(path, value or str(settings.mask_value))
    mask = fit_mask(read, grid)
    check_mask(mask, settings)
    return mask, {"flag_mask_rescaled": read.shape not in (grid.stored, grid.film)}


def _box_differs(lesion: Mapping[str, Any], box: Sequence[float], grid: FilmGrid) -> bool:
    """Tell whether the case table has a box that shares less than half of its union with the box of the mask."""
    corners = [lesion.get(name) for name in BOX_COLUMNS]
    if any(pd.isna(corner) for corner in corners):
        return False
    rows, columns = grid.film[0] / grid.stored[0], grid.film[1] / grid.stored[1]
    stated = [float(str(corner)) * side for corner, side in zip(corners, (rows, columns) * 2, strict=True)]
    return overlap(stated, box) < SAME_BOX


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _read_box(corners: Sequence[float], grid: FilmGrid, settings: ImagesSettings) -> Reference:
    """Check the box of a row, in stored pixels, and bring it to the film."""
    check_box(corners)
    y0, x0, y1, x1 = map(float, corners)
    (y0, x0, y1, x1), clipped = clip_box((y0, x0, y1, x1), grid.stored)
    check_share((y1 - y0) * (x1 - x0) / (grid.stored[0] * grid.stored[1]), settings, "box")
    rows, columns = grid.film[0] / grid.stored[0], grid.film[1] / grid.stored[1]
    return Reference(None, (y0 * rows, x0 * columns, y1 * rows, x1 * columns), {"flag_box_clipped": clipped})


def fit_mask(mask: Mask, grid: FilmGrid) -> Mask:
    """Resize a mask to the film's grid.

    Raises
    ------
    ExcludedCase
        MASK_SHAPE where the scales for rows and columns differ by more than 1 %.
    """
    if mask.shape == grid.film:
        return mask
    rows, columns = grid.stored[0] / mask.shape[0], grid.stored[1] / mask.shape[1]
    if abs(rows / columns - 1) > EVEN_RATIO:
        raise ExcludedCase(
            LesionReason.MASK_SHAPE,
            f"mask is {mask.shape[0]} x {mask.shape[1]}, film {grid.stored[0]} x {grid.stored[1]}; "
            f"no one scale fits both axes ({rows:.3f}, {columns:.3f})",
        )
    smaller = mask.shape[0] >= grid.film[0] and mask.shape[1] >= grid.film[1]
    return shrink_mask(mask, grid.film) if smaller else resize(mask, grid.film)


def measure(reference: Reference, grid: FilmGrid) -> dict[str, float]:
    """Return reference box in canonical pixels, area and longest diameter, as columns of CANONICAL_LESIONS.

    Area and diameter are measured on the mask at film resolution. Without a mask they are the area and the longer side
    of the box; its diagonal would be too long for any lesion that is not a rod.
    """
    y0, x0, y1, x1 = reference.box
    rows, columns = grid.scale
    if reference.mask is None:
        area = (y1 - y0) * (x1 - x0)
        diameter = max(y1 - y0, x1 - x0) * grid.spacing_mm
    else:
        inside = reference.mask[int(y0) : int(y1), int(x0) : int(x1)]
        area = float(np.count_nonzero(inside))
        diameter = longest_diameter_mm(inside, grid.spacing_mm)
    return {
        "y0": y0 * rows,
        "x0": x0 * columns,
        "y1": y1 * rows,
        "x1": x1 * columns,
        "area_mm2": area * grid.spacing_mm**2,
        "diameter_mm": diameter,
    }


def cut_patch(settings: ImagesSettings, film: Grey, breast: Mask, reference: Reference, grid: FilmGrid) -> Patch:
    """Cut the square patch of a lesion from the film, centred on its box.

    Parameters
    ----------
    settings
        Side and spacing; the side is enlarged where it does not exceed the box by 30 mm.
    film
        (height, width) at film resolution.
    breast
        Breast region on the canonical grid.
    reference
        Mask or box in film pixels.
    grid
        The grids of the image.
    """
    y0, x0, y1, x1 = reference.box
    side_mm = max(settings.patch_mm, max(y1 - y0, x1 - x0) * grid.spacing_mm + PATCH_MARGIN_MM)
    # Twice the film's longest side covers the film for a lesion at any place; a larger patch would only add black.
    side = min(math.ceil(side_mm / grid.spacing_mm), 2 * max(grid.film))
    top, left = round((y0 + y1 - side) / 2), round((x0 + x1 - side) / 2)
    window = (top, left, top + side, left + side)
    image = crop(film, window)
    mask = None if reference.mask is None else crop(reference.mask, window)
    pixels = side
    if settings.patch_spacing_mm is not None and settings.patch_spacing_mm > grid.spacing_mm:
        pixels = max(1, round(side * grid.spacing_mm / settings.patch_spacing_mm))
        image = resize(image, (pixels, pixels))
        mask = None if mask is None else shrink_mask(mask, (pixels, pixels))
    rows, columns = grid.scale
    corner = (top * rows, left * columns)
    cells = (rows * side / pixels, columns * side / pixels)
    return Patch(
        image, sample_mask(breast, corner, cells, (pixels, pixels)), mask, corner, grid.spacing_mm * side / pixels
    )
