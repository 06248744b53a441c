"""INbreast: full-field digital mammograms with drawn contours (Moreira et al., doi 10.1016/j.acra.2011.09.014)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.cohort.inbreast_lesions import Region, regions_of_film
from mammoflow.cohort.reader import ROW_COLUMNS, Exclusion, FoundImage, FoundLesion, Reader, Row
from mammoflow.cohort.table_files import ORIGIN, PROBLEM, read_text_table, records, require_columns
from mammoflow.cohort.words import parse_birads, parse_birads_category, parse_density, parse_side
from mammoflow.config.cohort import DatasetSettings
from mammoflow.errors import ExcludedCase, StudyError
from mammoflow.formats.contour_files import read_contours
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.dicom_header import image_shape
from mammoflow.formats.listing import entries, subfolders
from mammoflow.formats.study_paths import safe_path
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.labels import LabelReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.storage.names import safe_name

TABLE = "INbreast.csv"
DICOM_FOLDER, CONTOUR_FOLDER = "AllDICOMs", "AllXML"
FILE_NAME = re.compile(
    r"(?P<film>[0-9]+)_(?P<patient>[0-9a-f]+)_MG_(?P<side>[LR])_(?P<view>[A-Z]+)_ANON\.dcm", re.IGNORECASE
)
VIEWS = {"ML": "MLO"}  # the file names shorten it; the set has no true lateral views
SPACING_MM = 0.07  # solid-state detector with pixels of 70 micrometres (Moreira et al. 2012)
COLUMNS = ["laterality", "view", "file name", "acr", "bi-rads"]
NEGATIVE = 1  # BI-RADS 1: nothing to comment on
PRIVATE_COLUMNS = ["image_name", "mask_name", "mask_item", "birads_category"]


class StudyReader(Reader):
    """The folder of the release, or one above it."""

    has_pathology = False

    def __init__(self, dataset: DatasetSettings, study: Path) -> None:
        super().__init__(dataset, study)
        self.root = _find_root(study)
        self.films: dict[str, list[re.Match[str]]] = {}
        for path in entries(study / self.root / DICOM_FOLDER):
            if found := FILE_NAME.fullmatch(path.name):
                self.films.setdefault(found["film"], []).append(found)
        self.counts: Counter[str] = Counter()
        self.undrawn: list[dict[str, Any]] = []

    def audit(self) -> dict[str, int]:
        """Count films, patients and drawn regions as published."""
        patients = {found["patient"] for films in self.films.values() for found in films}
        return {"films": sum(map(len, self.films.values())), "patients": len(patients), **sorted_counts(self.counts)}

    def read_rows(self) -> tuple[pd.DataFrame, list[Exclusion]]:
        """Read the table and the contours of every film; one row per lesion, or a film without any."""
        rows: list[dict[str, Any]] = []
        excluded: list[Exclusion] = []
        self.counts = Counter()
        self.undrawn = []
        listed = set()
        for values in records(self._read_table()):
            film = values["file name"].removesuffix(".0")
            listed.add(film)
            try:
                common = self._film_row(film, values)
            except ExcludedCase as error:
                patient = next((found["patient"] for found in self.films.get(film, [])), "")
                image = safe_name(film) if film.isdecimal() else ""
                detail = f"{values[ORIGIN]}: {error.detail}"
                excluded.append(Exclusion("row", error.reason, detail, patient, image))
                continue
            film_rows, film_excluded = self._lesion_rows(common)
            rows += film_rows
            excluded += film_excluded
        excluded += self._unlisted(listed)
        return pd.DataFrame(rows, columns=[*ROW_COLUMNS, *PRIVATE_COLUMNS, ORIGIN]), excluded

    def unannotated_images(self) -> list[dict[str, Any]]:
        """Return the films of the table whose lesions are not drawn, or in a file that cannot be read."""
        return [dict.fromkeys(ROW_COLUMNS) | row for row in self.undrawn]

    def find_image(self, rows: Sequence[Row]) -> FoundImage:
        """Check that the film's header can be read."""
        name = str(rows[0]["image_name"])
        height, width = image_shape(open_dicom(safe_path(self.study, name)))
        return FoundImage(name, height, width, SPACING_MM)

    def find_lesion(self, row: Row, image: FoundImage) -> FoundLesion:
        """Give the film's file of contours and the places of the lesion's regions in it."""
        name = str(row["mask_name"])
        safe_path(self.study, name)
        return FoundLesion(name, mask_item=str(row["mask_item"]))

    def _read_table(self) -> pd.DataFrame:
        names = self.dataset.tables or [(self.root / TABLE).as_posix()]
        if not (self.study / names[0]).is_file():
            sheet = (self.study / self.root / TABLE).with_suffix(".xls")
            advice = f"; save {sheet.name} as CSV under this name" if sheet.is_file() else ""
            raise StudyError(f"table {self.study / names[0]} does not exist{advice}; check cohort.dataset.folder")
        tables = []
        for name in names:
            table = read_text_table(self.study / name)
            table.columns = [
                column if column in (ORIGIN, PROBLEM) else " ".join(str(column).lower().split()) for column in table
            ]
            require_columns(table, COLUMNS, f"table {name}")
            tables.append(table[[*COLUMNS, ORIGIN, PROBLEM]])
        return pd.concat(tables, ignore_index=True)

    def _film_row(self, film: str, values: dict[str, str]) -> dict[str, Any]:
        """Return what all rows of a film share; raise ExcludedCase where table and file do not give it."""
        if values[PROBLEM]:
            raise ExcludedCase(CohortReason.BAD_ROW, values[PROBLEM])
        if not film.isdecimal():
            raise ExcludedCase(
                CohortReason.BAD_ROW, f"file name is {film!r}, expected a number; a line of totals has none"
            )
        files = self.films.get(film, [])
        if len(files) != 1:
            reason = CohortReason.BAD_ROW if files else FileReason.MISSING_FILE
            raise ExcludedCase(reason, f"{len(files)} files {film}_..._ANON.dcm in {DICOM_FOLDER}, expected one")
        file_name = files[0]
        try:
            side, view = parse_side(values["laterality"]), _view(values["view"])
            birads, density = parse_birads(values["bi-rads"]), parse_density(values["acr"])
        except ValueError as error:
            raise ExcludedCase(CohortReason.BAD_ROW, str(error)) from error
        side_and_view = file_name["side"].upper(), _view(file_name["view"])
        if (side or side_and_view[0], view or side_and_view[1]) != side_and_view:
            raise ExcludedCase(
                CohortReason.BAD_ROW, f"the table says {side} {view}, the file's name {' '.join(side_and_view)}"
            )
        return {
            "patient_id": file_name["patient"].lower(),
            "image_id": safe_name(film),
            "laterality": side_and_view[0],
            "view": side_and_view[1],
            "birads": birads,
            "birads_category": parse_birads_category(values["bi-rads"]),
            "density": density,
            "official_split": "",
            "image_name": (self.root / DICOM_FOLDER / file_name[0]).as_posix(),
            ORIGIN: values[ORIGIN],
        }

    def _lesion_rows(self, common: dict[str, Any]) -> tuple[list[dict[str, Any]], list[Exclusion]]:
        image, patient = common["image_id"], common["patient_id"]
        name = (self.root / CONTOUR_FOLDER / f"{image}.xml").as_posix()
        try:
            regions = self._regions(name)
            if not regions and common["birads"] != NEGATIVE:
                detail = f"no region drawn, but the film's BI-RADS is {common['birads']}; only BI-RADS 1 is normal"
                raise ExcludedCase(LesionReason.MASK_NOT_FOUND, detail)
        except ExcludedCase as error:
            self.undrawn.append({**common, "birads": None, "birads_category": None, "lesion_type": "unknown"})
            return [], [Exclusion("row", error.reason, error.detail, patient, image, path=name)]
        if not regions:
            return [{**common, "lesion_id": f"{image}_normal", "label": "normal", "lesion_type": "unknown"}], []
        rows, excluded = [], []
        for region in regions:
            lesion = safe_name(image, region.kind.replace(" ", "-"), region.digest)
            if region.problem:
                detail = f"region {region.items[0]}: {region.problem}"
                excluded.append(Exclusion("lesion", FileReason.CONTOURS, detail, patient, image, lesion, name))
            else:
                rows.append(common | _lesion_row(lesion, region, common) | {"mask_name": name})
        return rows, excluded

    def _regions(self, name: str) -> list[Region]:
        """Return the lesions drawn on a film; none where there is no file."""
        if not (self.study / name).is_file():
            return []
        regions, counts = regions_of_film(read_contours(safe_path(self.study, name)))
        self.counts.update({"files of contours": 1, **counts})
        return regions

    def _unlisted(self, listed: set[str]) -> list[Exclusion]:
        """Exclude the films that no row of the table speaks of."""
        detail = f"the table has no row for the film, so its BI-RADS is not known; see {TABLE}"
        return [
            Exclusion(
                "row",
                LabelReason.NO_LABEL,
                detail,
                found["patient"].lower(),
                safe_name(film),
                path=(self.root / DICOM_FOLDER / found[0]).as_posix(),
            )
            for film, files in self.films.items()
            if film not in listed
            for found in files
        ]


def sorted_counts(counts: Counter[str]) -> dict[str, int]:
    """Return counts in the order of their names."""
    return {name: counts[name] for name in sorted(counts)}


def _lesion_row(lesion: str, region: Region, common: dict[str, Any]) -> dict[str, Any]:
    """Return a lesion's own columns; INbreast assesses films, so its BI-RADS is the film's."""
    return {
        "lesion_id": lesion,
        "finding_id": lesion,
        "lesion_type": region.lesion_type,
        "label": None,
        "pathology": None,
        # Beside another finding the film's assessment is that finding's; single calcifications have none then.
        "birads": common["birads"] if region.alone else None,
        "birads_category": common["birads_category"] if region.alone else None,
        "shape": region.kind,
        "mask_item": ",".join(map(str, region.items)),
    }


def _view(text: str) -> str:
    return VIEWS.get(text.upper(), text.upper())


def _find_root(study: Path) -> Path:
    """Return where the release lies, relative to the study: the study itself or a folder in it."""
    places = [Path(), *(Path(path.name) for path in subfolders(study))]
    for place in places:
        if (study / place / DICOM_FOLDER).is_dir():
            return place
    raise StudyError(
        f"no folder {DICOM_FOLDER} in {study} or in a folder below it; expected the release of INbreast with "
        f"{DICOM_FOLDER}, {CONTOUR_FOLDER} and {TABLE}; check cohort.dataset.folder"
    )
