"""What prompts are made around: the reference, the boxes of a reader, the masks of another model.

Each source gives one table with a row for each lesion (`SOURCE_COLUMNS`), and the cases that cannot be prompted.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.cohort.boxes import Box, check_box, check_boxes, clip_box, overlap
from mammoflow.cohort.numbers import parse_number
from mammoflow.cohort.table_files import ORIGIN, PROBLEM, read_text_table, records, require_columns
from mammoflow.config.prompts import ReaderSettings
from mammoflow.errors import ExcludedCase, Reason, StudyError
from mammoflow.imaging.geometry import box_of
from mammoflow.reasons.lesions import LesionReason
from mammoflow.reasons.prompts import PromptReason
from mammoflow.storage.files import read_mask
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS
from mammoflow.tables.files import read_table
from mammoflow.tables.images import FULLY_ANNOTATED
from mammoflow.tables.masks import MASKS
from mammoflow.tables.prompts import BOX, CLIPPED, MISSES, REFERENCE

SOURCE_COLUMNS = ["lesion_id", "image_id", "origin", "draw", *BOX, "mask_path", CLIPPED, MISSES]
"""`mask_path`: file of the mask on the canonical grid, "" where there is a box alone."""

Excluded = list[dict[str, str]]


def excluded_prompt(lesion: Mapping[str, Any], path: str, reason: Reason, detail: str) -> dict[str, str]:
    """Return a row of the table EXCLUDED for something that cannot be a prompt; the lesion itself stays."""
    keys = {name: str(lesion.get(name, "")) for name in ("patient_id", "image_id", "lesion_id")}
    return {"stage": "prompts", "level": "row", **keys, "path": path, "reason": str(reason), "detail": detail}


def unprompted(lesions: pd.DataFrame, sources: list[pd.DataFrame]) -> Excluded:
    """Return the lesions of a shard that no source gives a prompt, so that no model segments them."""
    prompted = {lesion for source in sources for lesion in source["lesion_id"]}
    detail = "prompts.reference is off, and no reader drew a box that can be used"
    return [
        excluded_prompt(lesion, "", PromptReason.NO_PROMPT, detail) | {"level": "lesion"}
        for lesion in records(lesions)
        if lesion["lesion_id"] not in prompted
    ]


def reference_source(folder: Path, lesions: pd.DataFrame) -> pd.DataFrame:
    """Return the reference of each lesion of a shard (table CANONICAL_LESIONS in `folder`)."""
    paths = ["" if pd.isna(file) else str(folder / file) for file in lesions["mask_file"]]
    prompted = lesions.assign(origin=REFERENCE, draw=0, mask_path=paths)
    prompted[[CLIPPED, MISSES]] = False  # the flag of the lesion itself is not one of the prompt
    return prompted[SOURCE_COLUMNS]


def model_source(folder: Path, lesions: pd.DataFrame) -> tuple[pd.DataFrame, Excluded]:
    """Return the masks that another model handed on for the lesions of a shard.

    Parameters
    ----------
    folder
        Folder of the shard that the segment stage wrote for that model.
    lesions
        Table CANONICAL_LESIONS of the shard.
    """
    masks = read_table(folder / "masks.parquet", MASKS).set_index("lesion_id")
    rows, excluded = [], []
    for lesion in records(lesions):
        lesion_id = lesion["lesion_id"]
        if lesion_id not in masks.index:
            detail = f"{folder} has no mask of this lesion to prompt another model with"
            excluded.append(excluded_prompt(lesion, "", LesionReason.MASK_NOT_FOUND, detail))
            continue
        mask = masks.loc[lesion_id]
        path = folder / str(mask["mask_file"])
        box = box_of(read_mask(path))
        if box is None:
            detail = f"{mask['model']} found nothing, so its mask has no box to prompt another model with"
            excluded.append(excluded_prompt(lesion, str(mask["mask_file"]), LesionReason.MASK_EMPTY, detail))
            continue
        keys = {"lesion_id": lesion_id, "image_id": lesion["image_id"], "origin": f"model:{mask['model']}", "draw": 0}
        marks = {CLIPPED: False, MISSES: False}
        rows.append({**keys, **dict(zip(BOX, map(float, box), strict=True)), "mask_path": str(path)} | marks)
    return pd.DataFrame(rows, columns=SOURCE_COLUMNS), excluded


def reader_source(
    reader: ReaderSettings, images: pd.DataFrame, lesions: pd.DataFrame, cohort: Path
) -> tuple[pd.DataFrame, Excluded]:
    """Return the boxes that a reader drew for the lesions of a shard.

    A row names its lesion, or its image alone: then it belongs to the lesion whose reference box it overlaps most, and
    on an image with one lesion to that one, so that a box beside the lesion counts as the miss that it is. Where the
    run could not use every lesion of the image, a box that overlaps none may be that of another lesion: it is left out.

    Parameters
    ----------
    reader
        Name, table, unit.
    images, lesions
        Tables CANONICAL_IMAGES and CANONICAL_LESIONS of the shard.
    cohort
        Folder of the cohort stage, which knows every id of the study.

    Raises
    ------
    StudyError
        If the table is missing, lacks a column, names ids that the study does not have, or its boxes look normalised or
        have width and height in place of the second corner.
    """
    path = Path(reader.table)
    if not path.is_file():
        raise StudyError(f"boxes of reader {reader.name}: {path} does not exist; correct prompts.readers")
    table = read_text_table(path)
    key = "lesion_id" if "lesion_id" in table.columns else "image_id"
    origin = f"boxes of reader {reader.name} in {path}"
    require_columns(table, [key, *BOX], origin)
    _check_ids(table, key, cohort, origin)
    check_boxes(_whole_boxes(table), origin)
    here = table[table[key].isin(lesions[key])]
    image_rows = images.set_index("image_id")
    by_lesion = {str(row["lesion_id"]): row for row in records(lesions)}
    lesions_of = lesions.groupby("image_id")["lesion_id"]
    by_image = {str(image): [str(lesion) for lesion in ids] for image, ids in lesions_of}
    rows: list[dict[str, Any]] = []
    excluded: Excluded = []
    for row in records(here):
        candidates = [row["lesion_id"]] if key == "lesion_id" else by_image[row["image_id"]]
        first = by_lesion[candidates[0]]
        image = image_rows.loc[first["image_id"]]
        try:
            box, clipped = _canonical_box(row, image, reader.unit)
            all_known = key == "lesion_id" or bool(image.get(FULLY_ANNOTATED, True))
            lesion = by_lesion[_overlapping(box, candidates, by_lesion, all_known)]
        except (ValueError, ExcludedCase) as error:
            case = first if key == "lesion_id" else {**first, "lesion_id": ""}
            problem = error.detail if isinstance(error, ExcludedCase) else str(error)
            detail = f"{row[ORIGIN]}, reader {reader.name}: {problem}"
            excluded.append(excluded_prompt(case, reader.table, LesionReason.BOX_INVALID, detail))
            continue
        earlier = sum(other["lesion_id"] == lesion["lesion_id"] for other in rows)
        keys = {"lesion_id": lesion["lesion_id"], "image_id": lesion["image_id"], "origin": f"reader:{reader.name}"}
        place = dict(zip(BOX, box, strict=True))
        misses = overlap(box, [float(lesion[name]) for name in BOX]) == 0
        rows.append({**keys, "draw": earlier, **place, "mask_path": "", CLIPPED: clipped, MISSES: misses})
    return pd.DataFrame(rows, columns=SOURCE_COLUMNS), excluded


def _check_ids(table: pd.DataFrame, key: str, cohort: Path, origin: str) -> None:
    """Refuse ids that neither the cohort nor what it left out has: the table is of another study, or mistyped."""
    cohort_rows = read_table(cohort / f"{key.removesuffix('_id')}s.parquet", LESIONS if key == "lesion_id" else IMAGES)
    study_ids = set(cohort_rows[key]) | set(read_table(cohort / "excluded.parquet", EXCLUDED)[key])
    strangers = sorted(set(table[key]) - study_ids | (set(table[key]) & {""}))
    if strangers:
        raise StudyError(
            f"{origin}: {len(strangers)} values of {key} are not in the study, for instance {strangers[:3]}; expected "
            f"ids of {cohort}, for instance {sorted(cohort_rows[key])[:1]}; correct the table"
        )


def _whole_boxes(table: pd.DataFrame) -> list[list[float]]:
    """Return the boxes of a table of text whose four numbers can be read."""
    numbers = table[BOX].apply(pd.to_numeric, errors="coerce").dropna()
    whole: list[list[float]] = numbers.to_numpy(dtype=np.float64).tolist()
    return whole


def _canonical_box(row: Mapping[str, Any], image: pd.Series, unit: str) -> tuple[Box, bool]:
    """Return the box of a row in canonical pixels, clipped to the image, and whether it was.

    Raises
    ------
    ValueError
        If a number cannot be read.
    ExcludedCase
        If the numbers cannot be a box in the unit, or the box has no pixel on the image.
    """
    if row[PROBLEM]:
        raise ValueError(str(row[PROBLEM]))
    corners = [parse_number(row[name]) for name in BOX]
    box = [corner for corner in corners if corner is not None]
    if len(box) < len(BOX):
        raise ValueError(f"box {[row[name] for name in BOX]} lacks a number")
    grid = "stored" if pd.notna(image.get("stored_height")) else "film"  # an earlier shard has no size of the file
    size = int(image[f"{grid}_height"]), int(image[f"{grid}_width"])
    rows, columns = image["height"] / size[0], image["width"] / size[1]
    row_mm, column_mm = (
        (rows * image["row_spacing_mm"], columns * image["column_spacing_mm"]) if unit == "mm" else (1, 1)
    )
    check_box(box, smallest=max(row_mm, column_mm))
    film_box = box[0] / row_mm, box[1] / column_mm, box[2] / row_mm, box[3] / column_mm
    (y0, x0, y1, x1), clipped = clip_box(film_box, size)
    return (y0 * rows, x0 * columns, y1 * rows, x1 * columns), clipped


def _overlapping(box: Box, candidates: list[str], lesions: Mapping[str, Mapping[str, Any]], all_known: bool) -> str:
    """Return the lesion whose reference box overlaps a box most, by IoU; the only one in any case if all are known."""
    if len(candidates) == 1 and all_known:
        return candidates[0]
    scores = [overlap(box, tuple(float(lesions[lesion][name]) for name in BOX)) for lesion in candidates]
    if max(scores) == 0:
        found = f"box {[round(value, 1) for value in box]} (canonical px) meets none of the lesions {candidates}"
        raise ValueError(found if all_known else f"{found}, and the image has others that the run could not use")
    return candidates[int(np.argmax(scores))]
