"""The embedded phantom study, which is written as a CBIS-DDSM download looks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.cohort.case_tables import USUAL_TABLES
from mammoflow.cohort.numbers import parse_number
from mammoflow.cohort.phantom.names import HIDDEN_SUSPICION, NORMAL_TABLE
from mammoflow.cohort.reader import Exclusion, FoundImage, FoundLesion, Row
from mammoflow.cohort.readers import cbis_ddsm
from mammoflow.cohort.table_files import ORIGIN, read_text_table, records, require_columns
from mammoflow.cohort.words import parse_density, parse_side
from mammoflow.storage.names import safe_name

NORMAL_COLUMNS = ["patient_id", "breast_density", "left or right breast", "image view", "image file path"]


class StudyReader(cbis_ddsm.StudyReader):
    """The phantom study; it says so even where its marker file was lost.

    It has two things that CBIS-DDSM does not have: films without a lesion, and the hidden suspicion of each lesion.
    """

    def is_phantom(self) -> bool:
        """Tell that the study is made of phantoms."""
        return True

    def read_rows(self) -> tuple[pd.DataFrame, list[Exclusion]]:
        """Read the case tables with the hidden suspicion of each row, and add the normal films."""
        rows, excluded = super().read_rows()
        suspicion: dict[str, str] = {}
        for path in self._tables():
            table = read_text_table(path)
            if HIDDEN_SUSPICION in table.columns:
                suspicion |= dict(zip(table[ORIGIN], table[HIDDEN_SUSPICION], strict=True))
        rows[HIDDEN_SUSPICION] = [parse_number(suspicion.get(origin, "")) for origin in rows[ORIGIN]]
        normal = self._normal_rows()
        if normal:
            rows = pd.DataFrame([*records(rows.astype(object)), *normal], columns=list(rows.columns))
        return rows, excluded

    def find_lesion(self, row: Row, image: FoundImage) -> FoundLesion:
        """Find mask and crop, and hand on the hidden suspicion."""
        found = super().find_lesion(row, image)
        return replace(found, further={**found.further, HIDDEN_SUSPICION: row[HIDDEN_SUSPICION]})

    def _tables(self) -> list[Path]:
        names = self.dataset.tables or [name for name in USUAL_TABLES if (self.study / name).is_file()]
        return [self.study / name for name in names]

    def _normal_rows(self) -> list[dict[str, Any]]:
        """Return a row for each film without a lesion; none where the study has no such table."""
        path = self.study / NORMAL_TABLE
        if not path.is_file():
            return []
        table = read_text_table(path)
        require_columns(table, NORMAL_COLUMNS, f"table of normal films {path}")
        return [_normal_row(values) for values in records(table)]


def _normal_row(values: dict[str, str]) -> dict[str, Any]:
    patient, side, view = values["patient_id"], values["left or right breast"], values["image view"]
    name = values["image file path"]
    folder = name.split("/")[0]
    return {
        "patient_id": patient,
        "image_id": safe_name(patient, side, view),
        "lesion_id": safe_name(patient, side, view, "normal"),
        "finding_id": safe_name(patient, side, "normal"),
        "laterality": parse_side(side),
        "view": view,
        "label": "normal",
        "density": parse_density(values["breast_density"]),
        "official_split": "test" if folder.startswith("Normal-Test") else "train",
        "image_name": name,
        "image_folder": folder,
        ORIGIN: values[ORIGIN],
    }
