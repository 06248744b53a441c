"""From rows to files: every image and lesion of a study is found by its reader, or excluded with a reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pandas as pd

from mammoflow.cohort.image_classes import CLASS
from mammoflow.cohort.reader import Exclusion, FoundImage, Reader, Row
from mammoflow.cohort.same_masks import refuse_same_masks
from mammoflow.cohort.table_files import ORIGIN, records
from mammoflow.errors import ExcludedCase
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.run.runtime import available_cores, progress

Found = TypeVar("Found")

LESION_COLUMNS = [
    "lesion_id",
    "finding_id",
    "image_id",
    "patient_id",
    "laterality",
    "view",
    "lesion_type",
    "pathology",
    "label_origin",
    "birads",
    "density",
    "subtlety",
    "shape",
    "margins",
    "box_y0",
    "box_x0",
    "box_y1",
    "box_x1",
    "official_split",
]
WHERE_GIVEN = ("birads_category", "age")
"""Columns of the lesions that a study has if one of its rows gives a value."""


@dataclass
class Resolved:
    """Rows of images and lesions with their files, and what was left out."""

    images: list[dict[str, Any]] = field(default_factory=list)
    lesions: list[dict[str, Any]] = field(default_factory=list)
    excluded: list[Exclusion] = field(default_factory=list)

    def add(self, other: Resolved) -> None:
        """Take over everything from another part."""
        self.images += other.images
        self.lesions += other.lesions
        self.excluded += other.excluded


def resolve_files(reader: Reader, rows: pd.DataFrame, keep_unlabelled: bool = False) -> Resolved:
    """Find the files of all rows, several images at a time; the order of the result is that of the rows.

    Parameters
    ----------
    reader
        Of the study.
    rows
        With `ROW_COLUMNS`.
    keep_unlabelled
        Whether an image stays although none of its lesions can be used and it is not known to be normal.
    """
    groups: dict[str, list[Row]] = {}
    for row in records(rows.astype(object).where(rows.notna(), None)):
        groups.setdefault(str(row["image_id"]), []).append(row)
    resolved = Resolved()
    with ThreadPoolExecutor(max_workers=2 * available_cores()) as workers:
        resolved_images = workers.map(lambda group: _resolve_image(reader, group, keep_unlabelled), groups.values())
        for of_image in progress(resolved_images, "finding images and masks", total=len(groups)):
            resolved.add(of_image)
    return resolved


def _resolve_image(reader: Reader, rows: Sequence[Row], keep_unlabelled: bool) -> Resolved:
    resolved = Resolved()
    first = rows[0]
    try:
        image = _guarded(lambda: reader.find_image(rows))
    except ExcludedCase as error:
        path = str(first.get("image_name") or "")
        resolved.excluded.append(Exclusion.of("image", _with_row(error, first), first, path))
        resolved.excluded += [
            Exclusion.of("lesion", _with_row(error, row), row, path) for row in rows if _is_lesion(row)
        ]
        return resolved
    resolved.excluded += [Exclusion.of("file", error, first, path) for path, error in image.passed_over.items()]
    for row in filter(_is_lesion, rows):
        try:
            resolved.lesions.append(_lesion_record(reader, row, image))
        except ExcludedCase as error:
            path = str(row.get("mask_name") or "")
            resolved.excluded.append(Exclusion.of("lesion", _with_row(error, row), row, path))
    twins = refuse_same_masks(reader.study, resolved.lesions)
    resolved.excluded += [
        Exclusion.of("lesion", twins[lesion["lesion_id"]], lesion, str(lesion["mask_path"] or ""))
        for lesion in resolved.lesions
        if lesion["lesion_id"] in twins
    ]
    resolved.lesions = [lesion for lesion in resolved.lesions if lesion["lesion_id"] not in twins]
    normal = any(row["label"] == "normal" for row in rows)
    if resolved.lesions or normal or keep_unlabelled or first.get(CLASS) is not None:
        labelled = [lesion for lesion in resolved.lesions if lesion["malignant"] is not None]
        marks = {"labelled": normal or bool(labelled)}
        if keep_unlabelled or CLASS in first:  # of every image or of none: a blank would be read as true
            marks["stays_without_lesions"] = keep_unlabelled or first[CLASS] is not None
        resolved.images.append({**_image_record(rows, image), **marks})
    else:
        emptied = ExcludedCase(LesionReason.NO_LESIONS, f"none of {len(rows)} lesions can be used")
        resolved.excluded.append(Exclusion.of("image", emptied, first, image.path))
    return resolved


def _with_row(error: ExcludedCase, row: Row) -> ExcludedCase:
    """Return an error whose detail begins with the row of the case table, if the reader knows it."""
    origin = str(row.get(ORIGIN) or "")
    if not origin or error.detail.startswith(origin):
        return error
    return ExcludedCase(error.reason, f"{origin}: {error.detail}")


def _is_lesion(row: Row) -> bool:
    return row["label"] != "normal" and row["lesion_id"] is not None


def _guarded(find: Callable[[], Found]) -> Found:
    """Call a reader; a file system that fails in the middle is the case's problem, not the study's."""
    try:
        return find()
    except (OSError, ValueError) as error:
        raise ExcludedCase(FileReason.UNREADABLE, f"the decoder stopped: {type(error).__name__}") from error


def _lesion_record(reader: Reader, row: Row, image: FoundImage) -> dict[str, Any]:
    files = _guarded(lambda: reader.find_lesion(row, image))
    described = {name: row.get(name) for name in LESION_COLUMNS}
    described |= {name: row[name] for name in WHERE_GIVEN if row.get(name) is not None}
    malignant = None if row["label"] is None else int(row["label"] == "malignant")
    masks = {"mask_path": files.mask_path, "mask_item": files.mask_item}
    return {**described, "malignant": malignant, **masks, **files.further}


def _image_record(rows: Sequence[Row], image: FoundImage) -> dict[str, Any]:
    first = rows[0]
    sides = {row["official_split"] for row in rows}
    density = next((row["density"] for row in rows if row["density"] is not None), None)
    return {
        "image_id": first["image_id"],
        "patient_id": first["patient_id"],
        "laterality": next((row["laterality"] for row in rows if row["laterality"]), first["laterality"]),
        "view": next((row["view"] for row in rows if row["view"]), first["view"]),
        "density": density,
        "image_path": image.path,
        "spacing_mm": image.spacing_mm,
        "spacing_origin": None if image.spacing_mm is None else "table",
        "official_split": next((side for side in ("test", "train") if side in sides), ""),
        **image.further,
        **({CLASS: first[CLASS]} if CLASS in first else {}),
    }
