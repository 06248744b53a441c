"""Any study that one table describes: one row per lesion, with image, mask or box, patient, label and more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from mammoflow.cohort.agreement import OF_IMAGE, refuse_contradictions
from mammoflow.cohort.boxes import check_box, check_boxes
from mammoflow.cohort.column_mapping import BOX, columns_used, map_columns
from mammoflow.cohort.exam_folders import files_of, films_of_exams, is_exam, may_be_dicom
from mammoflow.cohort.file_sizes import refuse_other_size, refuse_unequal_files
from mammoflow.cohort.id_spellings import refuse_similar_parts, spreadsheet_hints
from mammoflow.cohort.image_classes import WORD
from mammoflow.cohort.image_files import choose_file
from mammoflow.cohort.patient_facts import PatientFacts
from mammoflow.cohort.patient_units import unit_hints
from mammoflow.cohort.reader import ROW_COLUMNS, Exclusion, FoundImage, FoundLesion, Reader, Row
from mammoflow.cohort.readers._table_options import Options
from mammoflow.cohort.readers._table_rows import OPTIONS, RowReader
from mammoflow.cohort.repeated_marks import mark_notes
from mammoflow.cohort.table_files import ORIGIN, TableForm, records
from mammoflow.cohort.table_joins import UsedColumns, read_joined
from mammoflow.cohort.unread_rows import official_test_patients, with_images
from mammoflow.cohort.words import is_known_view, parse_usable
from mammoflow.config.cohort import DatasetSettings
from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.dicom_header import image_shape
from mammoflow.formats.file_kinds import FileKind, file_kind
from mammoflow.formats.opening import regular_file_size
from mammoflow.formats.picture_headers import read_picture_header
from mammoflow.formats.study_paths import plain_name, safe_path
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.storage.files import text_digest
from mammoflow.storage.names import distinct_names

PRIVATE_COLUMNS = [
    "image_parts",
    "finding",
    "image_name",
    "image_files",
    "mask_name",
    "spacing_mm",
    "usable",
    "lesion",
    "mask_value",
    "has_image_id",
    "birth_date",
    "birth_key",
    "sex",
    "age",
    "birads_category",
    WORD,
    "image_height",
    "image_width",
]
ADVICE = {
    name: f"give their meaning in {OPTIONS}.words.{name}"
    for name in ("side", "view", "type", "density", "birads", "split")
}


class StudyReader(Reader):
    """A study of PNG, TIFF or DICOM files and one table, perhaps with further tables joined to it."""

    def __init__(self, dataset: DatasetSettings, study: Path) -> None:
        super().__init__(dataset, study)
        self.facts = PatientFacts()

    def closing_notes(self) -> list[str]:
        """Return what the headers say against the table's patients."""
        return self.facts.notes()

    def read_rows(self) -> tuple[pd.DataFrame, list[Exclusion]]:
        """Map the table's columns and words; what cannot be read or is marked unusable is excluded.

        Raises
        ------
        StudyError
            If a table cannot be read, a word of `usable` is not known, or a number has no meaning as a label.
        """
        options = cast("Options", self.dataset.options)
        table_name = self.dataset.tables[0]
        self.notes.clear()
        form = TableForm(options.encoding, options.delimiter, options.sheet)
        usable_column = options.columns.get("usable", "usable")
        used = UsedColumns(columns_used(options.columns), usable_column, lambda text: _denies(text, options))
        joined = read_joined(table_name, options.joins, self.study, form, used, self.notes)
        mapped = map_columns(joined, table_name, options.columns, self.dataset.malignant_from_birads is not None)
        reader = RowReader(mapped, options)
        names = {column: [plain_name(self.study, text) for text in mapped[column]] for column in ("image", "mask")}
        rows: list[dict[str, Any]] = []
        unread = []
        for values in records(mapped.assign(**names)):
            try:
                rows.append(reader.read(values))
            except (ValueError, ExcludedCase) as error:
                detail = f"{values[ORIGIN]}: {error.detail if isinstance(error, ExcludedCase) else error}"
                reason = error.reason if isinstance(error, ExcludedCase) else CohortReason.BAD_ROW
                exclusion = Exclusion("row", reason, detail, str(values["patient"]))
                unread.append((exclusion, reader.read_image(values)))
        reader.check_words()
        table = pd.DataFrame(rows, columns=[*ROW_COLUMNS, *PRIVATE_COLUMNS, ORIGIN])
        films = zip(table["image_parts"], films_of_exams(table, self.study), strict=True)
        image_ids = distinct_names([(*parts, *film) for parts, film in films])
        table["image_id"] = pd.Series(image_ids, index=table.index, dtype="str")
        excluded, self.in_doubt = with_images(unread, table, ("image_parts", "image_name"))
        self.official_test = official_test_patients(table) | official_test_patients(
            pd.DataFrame([said for _, said in unread])
        )
        self.notes += [*reader.unread.notes(ADVICE, reader.called), *_unknown_views(table)]
        self.notes += [
            f"patient: {hint}" for hint in [*spreadsheet_hints(table["patient_id"]), *unit_hints(table["patient_id"])]
        ]
        table, mixed = _refuse_shared_images(table, self.study, reader.called)
        refuse_similar_parts(table, "lesion", ["image_id"], self.dataset.ids_differ)
        refuse_similar_parts(table, "finding", ["laterality", "patient_id"], self.dataset.ids_differ)
        table = _name_lesions(table)
        table, half_usable = _refuse_half_usable(table)
        table, unusable = _drop_unusable(table)
        table, torn = _refuse_contradictory_rows(table)
        boxes = table.loc[table["mask_name"] == "", list(BOX)].dropna().to_numpy(dtype=float)
        check_boxes(boxes.tolist(), f"boxes of table {table_name}")
        self.notes += mark_notes(table)
        files = table.groupby("image_id")["image_name"].agg(lambda names: "\n".join(dict.fromkeys(names)))
        table["image_files"] = table["image_id"].map(files)
        return table.drop(columns=["image_parts", "finding"]), [*excluded, *mixed, *half_usable, *unusable, *torn]

    @property
    def label_column(self) -> str:
        """The column of the table that the labels come from."""
        return str(cast("Options", self.dataset.options).columns.get("label", "label"))

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
            header = open_dicom(path)
            self.facts.add(str(rows[0]["patient_id"]), header)
            height, width = image_shape(header)
            refuse_other_size(rows, (height, width))
            refuse_unequal_files(self.study, str(rows[0]["image_files"]).split("\n"), name, (height, width))
            return FoundImage(name, height, width, spacing, passed_over=others)
        if any(row[key] is not None for row in rows for key in ("image_height", "image_width")):
            refuse_other_size(rows, read_picture_header(path).shape)
        return FoundImage(name, spacing_mm=spacing)

    def find_lesion(self, row: Row, image: FoundImage) -> FoundLesion:
        """Check that the mask lies in the study, or that there is a box in its place."""
        name = str(row["mask_name"])
        if name:
            regular_file_size(safe_path(self.study, name))
            return FoundLesion(name, {"mask_value": row["mask_value"]} if row["mask_value"] else {})
        box = [row[key] for key in BOX]
        if all(value is None for value in box):
            raise ExcludedCase(LesionReason.MASK_NOT_FOUND, "the row names neither mask nor box")
        if None in box:
            missing = ", ".join(name for name, value in zip(BOX, box, strict=True) if value is None)
            raise ExcludedCase(LesionReason.BOX_INVALID, f"{row[ORIGIN]}: no value for {missing}")
        check_box(box, origin=str(row[ORIGIN]))
        return FoundLesion(None)


def _denies(text: str, options: Options) -> bool:
    try:
        return parse_usable(text, options.words.get("usable")) is False
    except ValueError:
        return False


def _unknown_views(table: pd.DataFrame) -> list[str]:
    unknown = table[~table["view"].map(is_known_view) & (table["view"] != "")]
    if unknown.empty:
        return []
    words = ", ".join(map(repr, unknown["view"].drop_duplicates().head(5)))
    return [f"view: {len(unknown)} rows have views that are not usual and stay as they are: {words}; {ADVICE['view']}"]


def _refuse_contradictory_rows(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Exclude the rows of an image, a patient or a finding that contradict each other."""
    table, of_images = refuse_contradictions(table, "image_id", OF_IMAGE, "image")
    facts = {"birth_key": "date of birth", "sex": "sex"}
    shown = {"birth_key": "birth_date"}
    table, of_patients = refuse_contradictions(table, "patient_id", facts, "patient", shown)
    # A finding is one abnormality of a breast over its views; without a side, equal numbers may be two findings.
    one_finding = table["finding_id"].where((table["finding"] != "") & (table["laterality"] != ""))
    labels = table.assign(one_finding=one_finding, label=table["label"].where(table["label"] != "normal"))
    kept, of_findings = refuse_contradictions(labels, "one_finding", {"label": "malignancy"}, "finding")
    return table.loc[kept.index].reset_index(drop=True), [*of_images, *of_patients, *of_findings]


def _refuse_half_usable(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Exclude the rows of one lesion and file of which some are marked unusable and others are not."""
    words = table["usable"].map({True: "yes", False: "no"})
    same_file = table["lesion_id"] + " on " + table["image_name"]
    kept, torn = refuse_contradictions(
        table.assign(same_file=same_file, usable=words), "same_file", {"usable": "usable"}, "lesion"
    )
    return table.loc[kept.index].reset_index(drop=True), torn


def _drop_unusable(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Exclude what is marked unusable: lesions, and normal images, which are no lost lesions."""
    usable = table["usable"].astype(bool)
    whole = (table["label"] == "normal") & ~table["image_id"].isin(table.loc[usable, "image_id"])
    unusable = [
        Exclusion.of("image" if is_whole else "lesion", ExcludedCase(CohortReason.MARKED_UNUSABLE, row[ORIGIN]), row)
        for row, is_whole in zip(records(table[~usable]), whole[~usable], strict=True)
    ]
    return table[usable].reset_index(drop=True), unusable


def _refuse_shared_images(
    table: pd.DataFrame, study: Path, called: Callable[[str], str]
) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Exclude the rows of an image that is filed under several patients, or of an id that names several pictures.

    `called` gives the name of a column in messages.
    """
    names = {"image_id": "image_id", "image_name": "image", "patient_id": "patient"}
    excluded: dict[str, Exclusion] = {}
    for column, other in (("image_id", "patient_id"), ("image_id", "image_name"), ("image_name", "image_id")):
        values_of = table.groupby(column)[other].agg(lambda values: sorted(set(values)))
        for key, values in values_of[values_of.map(len) > 1].items():
            if other == "image_name" and all(may_be_dicom(study, value) for value in values):
                continue  # files of one image, between which `find_image` chooses
            rows = table[table[column] == key]
            if column == "image_name" and is_exam(rows, study):
                continue
            found = ", ".join(values[:3])
            detail = f"{names[column]} {key!r} has several values of {called(names[other])}: {found}; expected one"
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
    numbers = [number or place for number, place in zip(table["lesion"], places, strict=True)]
    lesions = list(zip(table["image_id"], numbers, strict=True))
    findings = [
        (row["patient_id"], row["laterality"], row["finding"]) if row["finding"] else lesion
        for row, lesion in zip(records(table[["patient_id", "laterality", "finding"]]), lesions, strict=True)
    ]
    names = {"lesion_id": distinct_names(lesions), "finding_id": distinct_names(findings)}
    return table.assign(**{name: pd.Series(ids, index=table.index, dtype="str") for name, ids in names.items()})
