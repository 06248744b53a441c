"""One film and its lesions: from the files of the study to the files and rows that later stages read."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.config.images import ImagesSettings
from mammoflow.errors import ExcludedCase
from mammoflow.formats.presentation_intent import PROCESSING
from mammoflow.formats.side_header import views_differ
from mammoflow.formats.study_paths import safe_path
from mammoflow.imaging.breast import breast_region
from mammoflow.imaging.colours import write_colours
from mammoflow.imaging.film import Film
from mammoflow.imaging.geometry import Mask, resize, shrink_mask
from mammoflow.imaging.grey import Grey
from mammoflow.imaging.hidden_names import without_files
from mammoflow.imaging.laterality import check_side, image_side
from mammoflow.imaging.lesion import FilmGrid, Shape, cut_patch, measure, read_reference
from mammoflow.imaging.mask_checks import LESION_FLAGS, place_columns
from mammoflow.imaging.pectoral_columns import write_pectoral
from mammoflow.imaging.polarity import looks_inverted
from mammoflow.imaging.spacing import Spacing, choose_spacing, spacing_flags
from mammoflow.imaging.volume_slices import read_image
from mammoflow.reasons.lesions import LesionReason
from mammoflow.storage.file_states import ReadFile, read_file_record
from mammoflow.storage.files import Array, array_digest, text_digest, write_image, write_mask
from mammoflow.storage.names import file_name
from mammoflow.tables.images import STAYS

STAGE = "images"


@dataclass(frozen=True)
class Case:
    """The work on one film.

    Attributes
    ----------
    settings, study, output
        Those of the stage.
    image
        Row of the IMAGES table.
    lesions
        Rows of the LESIONS table for this image.
    """

    settings: ImagesSettings
    study: Path
    output: Path
    image: dict[str, Any]
    lesions: list[dict[str, Any]]


@dataclass
class CaseResult:
    """Rows of CANONICAL_IMAGES (one or none), CANONICAL_LESIONS and EXCLUDED, the files, the worker's peak memory."""

    image: dict[str, Any] | None = None
    lesions: list[dict[str, Any]] = field(default_factory=list)
    excluded: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, ReadFile] = field(default_factory=dict)
    peak_bytes: int = 0


def prepare_case(case: Case) -> CaseResult:
    """Prepare one film and its lesions; a film or lesion that cannot be used becomes a row of `excluded`."""
    files = _files(case)  # before they are decoded
    result = CaseResult()
    try:
        _prepare(case, result)
    except ExcludedCase as problem:
        result = exclude_image(case, problem)
    result.files = files
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result.peak_bytes = peak if sys.platform == "darwin" else 1024 * peak
    return result


def written_files(case: Case) -> list[str]:
    """Return the files that the preparation of a case may write, relative to the folder of the stage."""
    name = file_name(str(case.image["image_id"]))
    files = [f"{folder}/{name}.png" for folder in ("image", "colour", "breast", "pectoral")]
    for lesion in case.lesions:
        name = file_name(str(lesion["lesion_id"]))
        files += [f"mask/{name}.png", *(f"patch/{name}.{part}.png" for part in ("image", "breast", "mask"))]
    return files


def _files(case: Case) -> dict[str, ReadFile]:
    """Return state and digest of each file of the case that can be read, by its path in the study."""
    paths = [case.image["image_path"], *(lesion["mask_path"] for lesion in case.lesions)]
    files: dict[str, ReadFile] = {}
    for path in dict.fromkeys(path for path in paths if isinstance(path, str) and path):
        with suppress(ExcludedCase):
            record = read_file_record(safe_path(case.study, path))
            if record is not None:
                files[path] = record
    return files


def exclude_image(case: Case, problem: ExcludedCase) -> CaseResult:
    """Return the rows of EXCLUDED for a film and each of its lesions."""
    path = str(case.image["image_path"])
    rows = [excluded_row(case.image, path, problem)]
    rows += [excluded_row(lesion, path, problem) for lesion in case.lesions]
    return CaseResult(excluded=rows)


def excluded_row(row: Mapping[str, Any], path: str, problem: ExcludedCase) -> dict[str, str]:
    """Return a row of the EXCLUDED table for a row of IMAGES or LESIONS."""
    lesion_id = str(row.get("lesion_id", ""))
    # Of a study without the column, or of one of several studies, it is null.
    hidden = str(row.get("anonymous")) == "True"
    return {
        "stage": STAGE,
        "level": "lesion" if lesion_id else "image",
        "patient_id": str(row["patient_id"]),
        "image_id": str(row["image_id"]),
        "lesion_id": lesion_id,
        "path": "" if hidden else path,
        "reason": str(problem.reason),
        "detail": without_files(problem, row, path) if hidden else problem.detail,
    }


def square_pixels(film: Grey, spacing: Spacing) -> tuple[Grey, float]:
    """Return a film with square pixels, and their spacing; the finer axis is averaged to the spacing of the coarser."""
    if spacing.is_square:
        return film, (spacing.rows_mm + spacing.columns_mm) / 2
    side = max(spacing.rows_mm, spacing.columns_mm)
    height, width = film.shape
    shape = (max(1, round(height * spacing.rows_mm / side)), max(1, round(width * spacing.columns_mm / side)))
    return resize(film, shape), side


def canonical_shape(film: Shape, longest_side: int) -> Shape:
    """Return (height, width) of the canonical image: that of the film, or less where the longest side asks for it."""
    scale = min(1.0, longest_side / max(film))
    return max(1, round(film[0] * scale)), max(1, round(film[1] * scale))


def _prepare(case: Case, result: CaseResult) -> None:
    stored = read_image(safe_path(case.study, str(case.image["image_path"])), case.image, case.settings)
    in_pixels = case.settings.without_spacing == "pixels"
    spacing = choose_spacing(stored.spacing, case.image["spacing_mm"], case.image["default_spacing_mm"], in_pixels)
    film, spacing_mm = square_pixels(stored.pixels, spacing)
    shape = canonical_shape(film.shape, case.settings.longest_side_px)
    grid = FilmGrid(stored.pixels.shape, film.shape, shape, spacing_mm)
    canonical = resize(film, shape)
    whole = case.settings.breast_region == "whole"
    breast = np.ones(shape, dtype=bool) if whole else breast_region(canonical)
    for lesion in case.lesions:
        try:
            result.lesions.append(_prepare_lesion(case, lesion, film, breast, grid))
        except ExcludedCase as problem:
            mask_path = lesion["mask_path"]
            result.excluded.append(excluded_row(lesion, mask_path if isinstance(mask_path, str) else "", problem))
    if case.lesions and not result.lesions and not _stays(case):
        none_left = ExcludedCase(LesionReason.NO_LESIONS, f"none of {len(case.lesions)} lesions can be used")
        result.excluded.insert(0, excluded_row(case.image, str(case.image["image_path"]), none_left))
        return
    flags = spacing_flags(stored.header.spacing, spacing, case.image["spacing_mm"], grid.stored)
    header = {**_header_columns(case, stored, canonical, breast), **flags}
    header["flag_polarity_implausible"] = not whole and _looks_inverted(canonical, result.lesions)
    view = str(case.image["view"]) or stored.header.side.view
    name = f"{file_name(str(case.image['image_id']))}.png"
    muscle = write_pectoral(case.output, f"pectoral/{name}", canonical, breast, grid, "" if whole else view)
    if case.settings.colour == "keep":
        header |= write_colours(case.output, f"colour/{name}", stored.colours, grid.film, grid.canonical)
    header |= _annotation(case, result)
    result.image = _write_canonical(case, canonical, breast, grid, spacing.origin) | muscle | header


def _looks_inverted(canonical: Grey, lesions: list[dict[str, Any]]) -> bool:
    """Tell whether the film looks inverted; then masks outside its breast region say nothing about the masks."""
    inverted = looks_inverted(canonical, bool(lesions) and all(row["flag_outside_breast"] for row in lesions))
    for lesion in lesions if inverted else []:
        lesion["flag_mask_mirrored"] = False
    return inverted


def _stays(case: Case) -> bool:
    """Tell whether the image stays where none of its lesions can be used: it has a class, or `unlabelled` is keep."""
    return bool(case.image.get(STAYS, False))


def _annotation(case: Case, result: CaseResult) -> dict[str, bool]:
    """Return what is known of the image's lesions once some are left out here; nothing for a cohort without it."""
    if "labelled" not in case.image:
        return {}
    labelled_lesions = [lesion for lesion in result.lesions if not pd.isna(lesion["malignant"])]
    return {
        "labelled": bool(case.image["labelled"]) and (bool(labelled_lesions) or not case.lesions),
        "fully_annotated": bool(case.image["fully_annotated"]) and len(result.lesions) == len(case.lesions),
    }


def _header_columns(case: Case, film: Film, canonical: Grey, breast: Mask) -> dict[str, Any]:
    """Return the columns of CANONICAL_IMAGES with values of the header, and the flags of its contradictions."""
    header = film.header
    tells = case.settings.breast_side == "convention" and case.settings.breast_region == "film"
    side = check_side(str(case.image["laterality"]), header.side, image_side(canonical, breast) if tells else "")
    return {
        "presentation": header.intent,
        "voi": film.voi,
        "scanner": header.scanner,
        "modality": header.modality,
        "orientation": header.orientation,
        "magnification": header.spacing.magnification,
        "laterality_header": header.side.laterality,
        "laterality_image": side.laterality,
        "view_header": header.side.view,
        "flag_for_processing": header.intent == PROCESSING,
        "flag_laterality_conflict": side.conflict,
        "flag_view_conflict": views_differ(str(case.image["view"]), header.side.view),
        "flag_photometric_conflict": header.photometric_conflict,
        "flag_lossy_compression": header.lossy,
        "flag_pixels_conflict": film.pixels_conflict,
        "flag_rescale_unusable": header.rescale_unusable,
        "flag_magnification_unusable": header.spacing.magnification_unusable,
        "flag_transfer_syntax_missing": header.syntax_guessed,
        "flag_picture_turned": film.turned,
        "flag_few_grey_levels": film.has_few_levels,
    }


def _write_canonical(case: Case, canonical: Grey, breast: Mask, grid: FilmGrid, origin: str) -> dict[str, Any]:
    name = file_name(str(case.image["image_id"]))
    files = {"image_file": f"image/{name}.png", "breast_file": f"breast/{name}.png"}
    write_image(case.output / files["image_file"], canonical)
    write_mask(case.output / files["breast_file"], breast)
    rows, columns = grid.scale
    row_spacing, column_spacing = grid.spacing_mm / rows, grid.spacing_mm / columns
    return {
        **{name: value for name, value in case.image.items() if name != STAYS},
        **files,
        "spacing_origin": origin,
        "stored_height": grid.stored[0],
        "stored_width": grid.stored[1],
        "film_height": grid.film[0],
        "film_width": grid.film[1],
        "film_spacing_mm": grid.spacing_mm,
        "height": grid.canonical[0],
        "width": grid.canonical[1],
        "row_spacing_mm": row_spacing,
        "column_spacing_mm": column_spacing,
        "breast_area_mm2": float(np.count_nonzero(breast)) * row_spacing * column_spacing,
        "digest": array_digest(canonical),
    }


def _prepare_lesion(case: Case, lesion: dict[str, Any], film: Grey, breast: Mask, grid: FilmGrid) -> dict[str, Any]:
    reference = read_reference(case.study, lesion, grid, case.settings)
    patch = cut_patch(case.settings, film, breast, reference, grid)
    name = file_name(str(lesion["lesion_id"]))
    measures = measure(reference, grid)
    mask = None if reference.mask is None else shrink_mask(reference.mask, grid.canonical)
    box = measures["y0"], measures["x0"], measures["y1"], measures["x1"]
    row = {
        **lesion,
        **measures,
        **dict.fromkeys(LESION_FLAGS, False),
        **place_columns(mask, box, breast),
        **reference.flags,
        "mask_file": None,
        "patch_file": f"patch/{name}.image.png",
        "patch_breast_file": f"patch/{name}.breast.png",
        "patch_mask_file": None,
        "patch_spacing_mm": patch.spacing_mm,
        "patch_y0": patch.corner[0],
        "patch_x0": patch.corner[1],
    }
    parts: list[Array] = [patch.image, patch.breast]
    if mask is not None and patch.mask is not None:
        row |= {"mask_file": f"mask/{name}.png", "patch_mask_file": f"patch/{name}.mask.png"}
        write_mask(case.output / row["mask_file"], mask)
        write_mask(case.output / row["patch_mask_file"], patch.mask)
        parts += [mask, patch.mask]
    write_image(case.output / row["patch_file"], patch.image)
    write_mask(case.output / row["patch_breast_file"], patch.breast)
    row["digest"] = text_digest(*map(array_digest, parts))
    return row
