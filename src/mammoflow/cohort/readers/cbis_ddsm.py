"""CBIS-DDSM: a download folder and its case tables (Sawyer-Lee et al., doi 10.7937/K9/TCIA.2016.7O02S9CY)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.cohort.case_tables import count_case_tables, read_case_tables
from mammoflow.cohort.download_layout import DownloadLayout
from mammoflow.cohort.mask_content import resolve_mask
from mammoflow.cohort.numbers import parse_integer
from mammoflow.cohort.plain_text import plain_text
from mammoflow.cohort.reader import ROW_COLUMNS, Exclusion, FoundImage, FoundLesion, Reader, Row
from mammoflow.cohort.spacing_table import SPACING_TABLE, read_spacing_table
from mammoflow.cohort.stored_copies import compare_copies
from mammoflow.cohort.table_files import ORIGIN, PROBLEM, records
from mammoflow.cohort.unread_rows import official_test_patients, with_images
from mammoflow.cohort.words import LESION_TYPES, parse_birads, parse_density, parse_label, parse_side
from mammoflow.config.cohort import DatasetSettings
from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.dicom_header import image_shape
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.files import FileReason
from mammoflow.storage.names import safe_name

PHANTOM_MARKER = "PHANTOM.md"
PRIVATE_COLUMNS = ["image_name", "crop_name", "mask_name", "image_folder"]


class StudyReader(Reader):
    """Read a CBIS-DDSM download or a part of it, such as the masses alone."""

    def __init__(self, dataset: DatasetSettings, study: Path) -> None:
        super().__init__(dataset, study)
        self.case_tables = read_case_tables(study, dataset.tables)
        self.layout = DownloadLayout(study)
        self.spacings = read_spacing_table(study / SPACING_TABLE)

    def is_phantom(self) -> bool:
        """Tell whether the folder carries the phantom study's marker."""
        return (self.study / PHANTOM_MARKER).is_file()

    def audit(self) -> dict[str, int]:
        """Count the case tables as they are."""
        return count_case_tables(self.case_tables)

    def read_rows(self) -> tuple[pd.DataFrame, list[Exclusion]]:
        """Turn the rows of the case tables into mammoflow's words; what cannot be read is excluded."""
        rows: list[dict[str, Any]] = []
        unread = []
        for values in records(self.case_tables):
            try:
                rows.append(_read_row(values))
            except (ValueError, KeyError) as error:
                detail = f"{values[ORIGIN]}: {values[PROBLEM] or error}"
                exclusion = Exclusion("row", CohortReason.BAD_ROW, detail, str(values["patient_id"]))
                patient, *view = _film_of(values)
                said = {"patient_id": patient, "official_split": values["official_split"]}
                said |= {"image_id": safe_name(patient, *view), "image_name": values["image_file_path"]}
                unread.append((exclusion, said))
        table = pd.DataFrame(rows, columns=[*ROW_COLUMNS, *PRIVATE_COLUMNS, ORIGIN])
        excluded, self.in_doubt = with_images(unread, table, ("image_id", "image_name"))
        self.official_test = official_test_patients(pd.DataFrame([said for _, said in unread]))
        # A film with masses and calcifications is stored twice; the copy of the masses is taken first.
        return table.sort_values("lesion_type", ascending=False, kind="stable", ignore_index=True), excluded

    def find_image(self, rows: Sequence[Row]) -> FoundImage:
        """Find the film; where it is stored twice the first usable copy is taken, and the copies are compared."""
        problem: ExcludedCase | None = None
        film: FoundImage | None = None
        copies: dict[str, str] = {}
        for name in dict.fromkeys(str(row["image_name"]) for row in rows):
            try:
                path, (height, width) = self._film(name)
            except ExcludedCase as error:
                problem = problem or error
                copies[name] = str(error.reason)
                continue
            if film is None:
                film = FoundImage(path, height, width, self.spacings.get(name.split("/")[0]))
            elif path != film.path:
                copies[path] = compare_copies(self.study / film.path, self.study / path)
        if film is None:
            raise problem or ExcludedCase(FileReason.MISSING_FILE, "the case table names no film")
        return replace(film, further={"copy_path": " ".join(copies), "copy_content": "; ".join(copies.values())})

    def find_lesion(self, row: Row, image: FoundImage) -> FoundLesion:
        """Find mask and crop among all files of the lesion's folders, by content."""
        if image.rows is None or image.columns is None:
            raise ExcludedCase(FileReason.UNREADABLE, "the size of the film is not known")
        candidates = self.layout.candidates([str(row["mask_name"]), str(row["crop_name"])])
        relative = {path: name for name, path in candidates.items()}
        resolved = resolve_mask(list(candidates.values()), image.rows, image.columns)
        crop = relative[resolved.crop] if resolved.crop else ""
        return FoundLesion(relative[resolved.mask], {"crop_path": crop})

    def _film(self, name: str) -> tuple[str, tuple[int, int]]:
        """Return the film's path and size: the largest image among the files that the name may mean."""
        shapes: dict[str, tuple[int, int]] = {}
        problem: ExcludedCase | None = None
        for relative, path in self.layout.candidates([name]).items():
            try:
                shapes[relative] = image_shape(open_dicom(path))
            except ExcludedCase as error:
                problem = problem or error
        if not shapes:
            raise problem or ExcludedCase(FileReason.MISSING_FILE, f"no file for {name!r}")
        largest = max(shapes, key=lambda relative: shapes[relative][0] * shapes[relative][1])
        return largest, shapes[largest]


def _film_of(values: dict[str, str]) -> tuple[str, str, str]:
    """Return patient, side and view of a row, without checking them."""
    side, view = (plain_text(values[name]).upper() for name in ("left_or_right_breast", "image_view"))
    return plain_text(values["patient_id"]), side, view


def _read_row(values: dict[str, str]) -> dict[str, Any]:
    """Turn one row of the case tables into `ROW_COLUMNS`; raise ValueError where it cannot be read."""
    if values[PROBLEM]:
        raise ValueError(values[PROBLEM])
    patient, side, view = _film_of(values)
    abnormality = parse_integer(values["abnormality_id"], 1, 1000)
    lesion_type = LESION_TYPES.get(values["abnormality_type"].lower())
    needed = {
        "patient_id": patient,
        "left or right breast": side,
        "image view": view,
        "abnormality id": abnormality,
        "abnormality type": lesion_type,
        "image file path": values["image_file_path"],
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise ValueError(f"no usable value for {', '.join(missing)}")
    return {
        "patient_id": patient,
        "image_id": safe_name(patient, side, view),
        "lesion_id": safe_name(patient, side, view, str(lesion_type), str(abnormality)),
        "finding_id": safe_name(patient, side, str(lesion_type), str(abnormality)),
        "laterality": parse_side(side),
        "view": view,
        "lesion_type": lesion_type,
        "label": parse_label(values["pathology"]),
        "pathology": values["pathology"] or None,
        "birads": parse_birads(values["assessment"]),
        "density": parse_density(values["breast_density"]),
        "subtlety": parse_integer(values["subtlety"], 0, 5),
        "shape": values["shape"] or None,
        "margins": values["margins"] or None,
        "official_split": values["official_split"],
        "image_name": values["image_file_path"],
        "crop_name": values["cropped_image_file_path"],
        "mask_name": values["roi_mask_file_path"],
        "image_folder": values["image_folder"],
        ORIGIN: values[ORIGIN],
    }
