"""Any study that one table describes: a row a lesion, with image, mask or box, patient, label and more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, cast

import pandas as pd

from mammoflow.cohort.boxes import check_box, check_boxes
from mammoflow.cohort.column_mapping import BOX, map_columns
from mammoflow.cohort.exam_folders import files_of, films_of_exams, is_exam, may_be_dicom, suffix_of
from mammoflow.cohort.image_files import choose_file
from mammoflow.cohort.mask_values import parse_mask_value
from mammoflow.cohort.numbers import parse_integer, parse_number
from mammoflow.cohort.reader import ROW_COLUMNS, Exclusion, FoundImage, FoundLesion, Reader, Row
from mammoflow.cohort.readers._table_options import JoinSettings, Options
from mammoflow.cohort.table_files import ORIGIN, PROBLEM, read_text_table, records, require_columns
from mammoflow.cohort.words import (
    BLANKS,
    LESION_TYPES,
    NEGATIVE_WORDS,
    OFFICIAL_SPLITS,
    Label,
    parse_birads,
    parse_density,
    parse_label,
    parse_side,
)
from mammoflow.errors import ExcludedCase, StudyError
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.dicom_header import image_shape
from mammoflow.formats.file_kinds import FileKind, file_kind
from mammoflow.formats.opening import regular_file_size
from mammoflow.formats.study_paths import plain_name, safe_path
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.storage.files import text_digest
from mammoflow.storage.names import safe_name

Value = TypeVar("Value")
PRIVATE_COLUMNS = [
    "image_name", "image_files", "mask_name", "spacing_mm", "usable", "lesion", "has_image_id", "mask_value",
]  # fmt: skip
JOINED_PROBLEM = f"{PROBLEM} of the joined table"


class StudyReader(Reader):
    """A study of PNG, TIFF or DICOM files and one CSV or Parquet table, perhaps with further tables joined to it."""

    def read_rows(self) -> tuple[pd.DataFrame, list[Exclusion]]:
        """Map the table's columns and words; what cannot be read or is marked unusable is excluded."""
        options = cast("Options", self.dataset.options)
        table_name = self.dataset.tables[0]
        joined = _read_joined(table_name, options.joins, self.study)
        mapped = map_columns(joined, table_name, options.columns, self.dataset.malignant_from_birads is not None)
        names = {column: [plain_name(self.study, text) for text in mapped[column]] for column in ("image", "mask")}
        rows: list[dict[str, Any]] = []
        excluded = []
        for values in records(mapped.assign(**names)):
            try:
                rows.append(_read_row(values, options.labels, options.spacing_factor))
            except ValueError as error:
                detail = f"{values[ORIGIN]}: {error}"
                excluded.append(Exclusion("row", CohortReason.BAD_ROW, detail, str(values["patient"])))
        table = pd.DataFrame(rows, columns=[*ROW_COLUMNS, *PRIVATE_COLUMNS, ORIGIN])
        films = zip(table["image_id"], films_of_exams(table, self.study), strict=True)
        table["image_id"] = pd.Series(
            [safe_name(image, *film) if film else image for image, film in films], dtype="str"
        )
        table, mixed = _refuse_shared_images(table, self.study)
        table = _name_lesions(table)
        usable = table["usable"].astype(bool)
        unusable = [
            Exclusion(
                "lesion",
                CohortReason.MARKED_UNUSABLE,
                row[ORIGIN],
                row["patient_id"],
                row["image_id"],
                row["lesion_id"],
            )
            for row in records(table[~usable])
        ]
        table = table[usable].reset_index(drop=True)
        boxes = table.loc[table["mask_name"] == "", list(BOX)].dropna().to_numpy(dtype=float)
        check_boxes(boxes.tolist(), f"boxes of table {table_name}")
        files = table.groupby("image_id")["image_name"].agg(lambda names: "\n".join(dict.fromkeys(names)))
        table["image_files"] = table["image_id"].map(files)
        return table, [*excluded, *mixed, *unusable]

    def find_image(self, rows: Sequence[Row]) -> FoundImage:
        """Check that the image lies in the study; of DICOM files also that the header can be read.

        Of several DICOM files, those of a folder or those that the table has under one id, the one of the rows' side
        and view, and of these the one for presentation, is taken.
        """
        names = [name for image in str(rows[0]["image_files"]).split("\n") for name in files_of(self.study, image)]
        name, others = choose_file(self.study, names, rows) if len(names) > 1 else (names[0], {})
        path = safe_path(self.study, name)
        spacing = next((row["spacing_mm"] for row in rows if pd.notna(row["spacing_mm"])), None)
        if file_kind(path) is FileKind.DICOM:
            height, width = image_shape(open_dicom(path))
            return FoundImage(name, height, width, spacing, passed_over=others)
        return FoundImage(name, spacing_mm=spacing)

    def find_lesion(self, row: Row, image: FoundImage) -> FoundLesion:
        """Check that the mask lies in the study, or that there is a box in its place."""
        name = str(row["mask_name"])
        if name:
            regular_file_size(safe_path(self.study, name))
            return FoundLesion(name, {"mask_value": row["mask_value"]} if row["mask_value"] else {})
        box = [row[key] for key in BOX]
        if all(value is None for value in box):
            raise ExcludedCase(LesionReason.MASK_NOT_FOUND, f"{row[ORIGIN]} names neither mask nor box")
        if None in box:
            missing = ", ".join(name for name, value in zip(BOX, box, strict=True) if value is None)
            raise ExcludedCase(LesionReason.BOX_INVALID, f"{row[ORIGIN]}: no value for {missing}")
        check_box(box, origin=str(row[ORIGIN]))
        return FoundLesion(None)


def _read_joined(name: str, joins: Sequence[JoinSettings], study: Path) -> pd.DataFrame:
    """Read the table and add the columns of the joined ones, which have one row per key; a blank key joins nothing.

    A row that takes over values from one that cannot be read cannot be read either.
    """
    table = read_text_table(study / name)
    for join in joins:
        require_columns(table, [join.column], f"table {name}")
        joined = read_text_table(study / join.table)
        require_columns(joined, [join.column], f"joined table {join.table}")
        joined = joined[joined[join.column] != ""]
        repeated = joined.loc[joined[join.column].duplicated(), join.column]
        if len(repeated):
            raise StudyError(
                f"joined table {join.table} has several rows for {join.column} {repeated.iloc[0]!r}; expected one: "
                "remove the others, or join by another column"
            )
        if len(table) and not table[join.column].isin(joined[join.column]).any():
            examples = ", ".join(repr(part[join.column].iloc[0]) for part in (table, joined) if len(part))
            raise StudyError(
                f"joined table {join.table} shares no {join.column} with table {name}: found {examples}; "
                "expected the same spelling in both; mend one, or correct cohort.dataset.options.joins"
            )
        new = [name for name in joined.columns if name not in table.columns]
        added = joined[[join.column, *new]].assign(**{JOINED_PROBLEM: joined[PROBLEM]})
        table = table.merge(added, on=join.column, how="left").fillna("")
        theirs = table.pop(JOINED_PROBLEM)
        theirs = theirs.where(theirs == "", f"joined table {join.table}: " + theirs)
        table[PROBLEM] = table[PROBLEM].where(table[PROBLEM] != "", theirs)
    return table


def _read_row(values: dict[str, str], labels: dict[str, Label], spacing_factor: float) -> dict[str, Any]:
    """Turn one mapped row into `ROW_COLUMNS`; raise ValueError where it cannot be read."""
    if values[PROBLEM]:
        raise ValueError(values[PROBLEM])
    values = {name: "" if name != "label" and text.lower() in BLANKS else text for name, text in values.items()}
    image, patient = _plain_path(values["image"]), values["patient"]
    if not image or not patient:
        raise ValueError(f"no value for {'image' if not image else 'patient'}")
    side, view = parse_side(values["side"]), values["view"].upper()
    image_id = safe_name(values["image_id"]) if values["image_id"] else safe_name(*_without_suffix(image))
    spacing = _parsed(values, "spacing", partial(parse_number, above=0))
    lesion, finding = (values[key].removesuffix(".0") for key in ("lesion", "finding"))  # numbers saved with blanks
    return {
        "patient_id": patient,
        "image_id": image_id,
        "finding_id": safe_name(patient, side, finding) if finding else "",
        "laterality": side,
        "view": view,
        "lesion_type": LESION_TYPES.get(values["type"].lower(), "unknown"),
        "label": parse_label(values["label"], labels),
        "pathology": values["label"] or None,
        "birads": parse_birads(values["birads"]),
        "density": _parsed(values, "density", parse_density),
        "subtlety": _parsed(values, "subtlety", partial(parse_integer, low=0, high=5)),
        "shape": values["shape"] or None,
        "margins": values["margins"] or None,
        **{key: _parsed(values, key, parse_number) for key in BOX},
        "official_split": OFFICIAL_SPLITS.get(values["split"].lower(), ""),
        "image_name": image,
        "image_files": image,
        "mask_name": _plain_path(values["mask"]),
        "mask_value": _parsed(values, "mask_value", parse_mask_value),
        "spacing_mm": None if spacing is None else spacing * spacing_factor,
        "usable": values["usable"].lower() not in NEGATIVE_WORDS,
        "lesion": lesion,
        "has_image_id": bool(values["image_id"]),
        ORIGIN: values[ORIGIN],
    }


def _parsed(values: dict[str, str], name: str, parse: Callable[[str], Value]) -> Value:
    """Read a number; what is wrong with it names its column."""
    try:
        return parse(values[name])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _without_suffix(image: str) -> tuple[str, ...]:
    """Return the parts of a path, the last one without its suffix."""
    place = PurePosixPath(image)
    return *place.parent.parts, place.name.removesuffix(suffix_of(place.name))


def _plain_path(text: str) -> str:
    return str(PurePosixPath(text.replace("\\", "/"))) if text else ""


def _refuse_shared_images(table: pd.DataFrame, study: Path) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Exclude the rows of an image that is filed under several patients, or of an id that names several pictures."""
    excluded: dict[str, Exclusion] = {}
    for column, other in (("image_id", "patient_id"), ("image_id", "image_name"), ("image_name", "image_id")):
        values_of = table.groupby(column)[other].agg(lambda values: sorted(set(values)))
        for key, values in values_of[values_of.map(len) > 1].items():
            if other == "image_name" and all(may_be_dicom(study, value) for value in values):
                continue  # files of one image, between which `find_image` chooses
            rows = table[table[column] == key]
            if column == "image_name" and is_exam(rows, study):
                continue
            detail = f"{column} {key!r} has several values of {other}: {', '.join(values[:3])}"
            excluded |= {
                row[ORIGIN]: Exclusion(
                    "row", CohortReason.BAD_ROW, f"{row[ORIGIN]}: {detail}", row["patient_id"], row["image_id"]
                )
                for row in records(rows)
            }
    return table[~table[ORIGIN].isin(excluded)].reset_index(drop=True), list(excluded.values())


def _name_lesions(table: pd.DataFrame) -> pd.DataFrame:
    """Give every row its lesion id: by the table's own number, or by the place of its mask or box on the image.

    Without a number of its own a lesion is named by a digest of mask name and box, so that neither the order of the
    rows nor a further lesion changes its id.
    """
    places_of = table[["mask_name", *BOX]].astype(object)
    # A blank is the same text whether or not another row of the table has a number there.
    references = records(places_of.where(places_of.notna(), None))
    values = [[value] if value else [] for value in table["mask_value"]]  # of one mask file with several lesions
    places = [text_digest(*map(str, row.values()), *value)[:8] for row, value in zip(references, values, strict=True)]
    lesion_numbers = [number or place for number, place in zip(table["lesion"], places, strict=True)]
    lesions = [safe_name(image, name) for image, name in zip(table["image_id"], lesion_numbers, strict=True)]
    with_ids = table.assign(lesion_id=pd.Series(lesions, index=table.index, dtype="str"))
    with_ids["finding_id"] = with_ids["finding_id"].where(with_ids["finding_id"] != "", with_ids["lesion_id"])
    return with_ids
