"""VinDr-Mammo: full-field digital mammograms with boxes (Nguyen et al., doi 10.13026/br2v-7517)."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.cohort.boxes import check_box
from mammoflow.cohort.numbers import parse_integer, parse_number
from mammoflow.cohort.plain_text import plain_text
from mammoflow.cohort.reader import ROW_COLUMNS, Exclusion, FoundImage, FoundLesion, Reader, Row
from mammoflow.cohort.table_files import ORIGIN, PROBLEM, read_text_table, records, require_columns
from mammoflow.cohort.words import OFFICIAL_SPLITS, parse_birads, parse_density, parse_side
from mammoflow.config.cohort import DatasetSettings
from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_files import LARGEST_PIXELS, open_dicom
from mammoflow.formats.dicom_header import image_shape
from mammoflow.formats.study_paths import safe_path
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.storage.files import text_digest
from mammoflow.storage.names import safe_name

FINDINGS_TABLE, BREASTS_TABLE = "finding_annotations.csv", "breast-level_annotations.csv"
NO_FINDING = "No Finding"
MASS, CALCIFICATION = "Mass", "Suspicious Calcification"
COLUMNS = [
    "study_id",
    "image_id",
    "laterality",
    "view_position",
    "height",
    "width",
    "breast_birads",
    "breast_density",
    "finding_categories",
    "finding_birads",
    "xmin",
    "ymin",
    "xmax",
    "ymax",
    "split",
]
EDGES = {"box_y0": "ymin", "box_x0": "xmin", "box_y1": "ymax", "box_x1": "xmax"}
LONGEST_LIST = 1000
PRIVATE_COLUMNS = ["image_name", "height", "width", "categories"]


class StudyReader(Reader):
    """The folder of the PhysioNet download that holds `images` and the tables."""

    has_pathology = False

    def __init__(self, dataset: DatasetSettings, study: Path) -> None:
        super().__init__(dataset, study)
        self.findings = self._read_findings()
        self.counts: Counter[str] = Counter()

    def audit(self) -> dict[str, int]:
        """Count the tables as published."""
        return {
            "rows": len(self.findings),
            "images": self.findings["image_id"].nunique(),
            "studies": self.findings["study_id"].nunique(),
            **{name: self.counts[name] for name in sorted(self.counts)},
        }

    def read_rows(self) -> tuple[pd.DataFrame, list[Exclusion]]:
        """Turn every row of the findings into a lesion or an image without one."""
        rows: list[dict[str, Any]] = []
        excluded: list[Exclusion] = []
        self.counts = Counter()
        for values in records(self.findings):
            if OFFICIAL_SPLITS.get(values["split"].lower()) == "test":
                self.official_test.add(plain_text(values["study_id"]))
            try:
                rows.append(_read_row(values))
            except ValueError as error:
                image = safe_name(values["image_id"]) if values["image_id"] else ""
                detail = f"{values[ORIGIN]}: {error}"
                excluded.append(Exclusion("row", CohortReason.BAD_ROW, detail, values["study_id"], image))
        table = pd.DataFrame(rows, columns=[*ROW_COLUMNS, *PRIVATE_COLUMNS, ORIGIN])
        self._count(table)
        table, contradictory = _refuse_contradictions(table)
        return table, [*excluded, *contradictory, *self._without_row()]

    def find_image(self, rows: Sequence[Row]) -> FoundImage:
        """Check that the image's header can be read and has the size that the table gives."""
        name = str(rows[0]["image_name"])
        shape = image_shape(open_dicom(safe_path(self.study, name)))
        sizes = {(int(row["height"]), int(row["width"])) for row in rows if None not in (row["height"], row["width"])}
        if sizes - {shape}:
            height, width = sorted(sizes - {shape})[0]
            raise ExcludedCase(
                CohortReason.BAD_ROW, f"the table says {height} x {width} pixels, the file has {shape[0]} x {shape[1]}"
            )
        return FoundImage(name, *shape)

    def find_lesion(self, row: Row, image: FoundImage) -> FoundLesion:
        """Check that the box holds a part of the image; what leaves it is cut off by the images stage."""
        y0, x0, y1, x1 = (row[name] for name in EDGES)
        if image.rows is None or image.columns is None:
            raise ExcludedCase(FileReason.UNREADABLE, "the size of the image is not known")
        if None in (y0, x0, y1, x1):
            raise ExcludedCase(LesionReason.MASK_NOT_FOUND, f"{row[ORIGIN]} gives no whole box")
        check_box((y0, x0, y1, x1), origin=str(row[ORIGIN]))
        if min(y1, image.rows) <= max(y0, 0) or min(x1, image.columns) <= max(x0, 0):
            detail = f"{row[ORIGIN]}: y {y0:g} to {y1:g}, x {x0:g} to {x1:g} on {image.rows} x {image.columns} pixels"
            raise ExcludedCase(LesionReason.BOX_INVALID, detail)
        return FoundLesion(None, {"finding_categories": str(row["categories"])})

    def _read_findings(self) -> pd.DataFrame:
        names = self.dataset.tables or [FINDINGS_TABLE]
        tables = [read_text_table(self.study / name) for name in names]
        for name, table in zip(names, tables, strict=True):
            require_columns(table, COLUMNS, f"table {name}")
        return pd.concat([table[[*COLUMNS, ORIGIN, PROBLEM]] for table in tables], ignore_index=True)

    def _count(self, table: pd.DataFrame) -> None:
        for categories in table["categories"]:
            self.counts.update(f"findings: {category}" for category in str(categories).split("; ") if category)
        normal = table["label"] == "normal"
        self.counts["images without a finding"] = int(table.loc[normal, "image_id"].nunique())
        self.counts["findings without an assessment"] = int((~normal & table["birads"].isna()).sum())

    def unannotated_images(self) -> list[dict[str, Any]]:
        """Return the images of the table of breasts that the table of findings does not name and that can be read."""
        rows = []
        for values in self._unlisted():
            try:
                rows.append(_read_unannotated(values))
            except ValueError:
                continue  # its exclusion stays
        return rows

    def _without_row(self) -> list[Exclusion]:
        """Exclude the images of the table of breasts, if there is one, that the table of findings does not name."""
        return [
            Exclusion(
                "row",
                CohortReason.BAD_ROW,
                f"{row[ORIGIN]}: the image has no row in the table of findings, not even {NO_FINDING}",
                row["study_id"],
                safe_name(row["image_id"]),
            )
            for row in self._unlisted()
        ]

    def _unlisted(self) -> list[dict[str, str]]:
        """Return the rows of the table of breasts, if there is one, whose image the table of findings does not name."""
        path = self.study / BREASTS_TABLE
        if not path.is_file():
            return []
        breasts = read_text_table(path)
        require_columns(breasts, ["study_id", "image_id"], f"table {BREASTS_TABLE}")
        missing = ~breasts["image_id"].isin(self.findings["image_id"]) & (breasts["image_id"] != "")
        return records(breasts[missing])


def parse_categories(text: str) -> list[str]:
    """Read the categories of a row: a list of texts as Python writes it, such as ``['Mass', 'Skin Thickening']``.

    Raises
    ------
    ValueError
        If the text is anything else; it is never run.
    """
    try:
        categories = ast.literal_eval(text) if len(text) <= LONGEST_LIST else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        categories = None
    if (
        not isinstance(categories, list)
        or not categories
        or not all(isinstance(part, str) and part.strip() for part in categories)
    ):
        raise ValueError(f"finding_categories is {text[:60]!r}, expected a list such as ['Mass']")
    return [part.strip() for part in categories]


def _read_row(values: dict[str, str]) -> dict[str, Any]:
    """Turn one row of the findings into `ROW_COLUMNS`; raise ValueError where it cannot be read."""
    if values[PROBLEM]:
        raise ValueError(values[PROBLEM])
    study, image = values["study_id"], values["image_id"]
    if not study or not image:
        raise ValueError(f"no value for {'image_id' if study else 'study_id'}")
    categories = parse_categories(values["finding_categories"])
    normal = categories == [NO_FINDING]
    if NO_FINDING in categories and not normal:
        raise ValueError(
            f"{NO_FINDING} occurs together with {', '.join(part for part in categories if part != NO_FINDING)}"
        )
    image_id = safe_name(image)
    box = {name: parse_number(values[column]) for name, column in EDGES.items()}
    place = text_digest(*categories, *(str(value) for value in box.values()))[:8]
    lesion = f"{image_id}_normal" if normal else f"{image_id}_{place}"
    return {
        "patient_id": plain_text(study),
        "image_id": image_id,
        "lesion_id": lesion,
        "finding_id": lesion,
        "laterality": parse_side(values["laterality"]),
        "view": values["view_position"].upper(),
        "lesion_type": _lesion_type(categories),
        "label": "normal" if normal else None,
        "pathology": None,
        "birads": parse_birads(values["breast_birads" if normal else "finding_birads"]),
        "density": parse_density(values["breast_density"].upper().removeprefix("DENSITY").strip()),
        **box,
        "official_split": OFFICIAL_SPLITS.get(values["split"].lower(), ""),
        "image_name": f"images/{study}/{image}.dicom",
        "height": parse_integer(values["height"], 1, LARGEST_PIXELS),
        "width": parse_integer(values["width"], 1, LARGEST_PIXELS),
        "categories": "" if normal else "; ".join(categories),
        ORIGIN: values[ORIGIN],
    }


def _read_unannotated(values: dict[str, str]) -> dict[str, Any]:
    """Turn a row of the table of breasts into a row without a lesion; raise ValueError where it cannot be read."""
    study, image = values["study_id"], values["image_id"]
    if values[PROBLEM] or not study:
        raise ValueError(values[PROBLEM] or "no value for study_id")
    return dict.fromkeys(ROW_COLUMNS) | {
        "patient_id": plain_text(study),
        "image_id": safe_name(image),
        "laterality": parse_side(values.get("laterality", "")),
        "view": values.get("view_position", "").upper(),
        "lesion_type": "unknown",
        "density": parse_density(values.get("breast_density", "").upper().removeprefix("DENSITY").strip()),
        "official_split": OFFICIAL_SPLITS.get(values.get("split", "").lower(), ""),
        "image_name": f"images/{study}/{image}.dicom",
        "height": parse_integer(values.get("height", ""), 1, LARGEST_PIXELS),
        "width": parse_integer(values.get("width", ""), 1, LARGEST_PIXELS),
        "categories": "",
        ORIGIN: values[ORIGIN],
    }


def _lesion_type(categories: list[str]) -> str:
    """Return the type; a mass with calcifications is a mass."""
    if MASS in categories:
        return "mass"
    return "calcification" if CALCIFICATION in categories else "unknown"


def _refuse_contradictions(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Exclude images filed under several studies or sides."""
    several = table.groupby("image_id")[["image_name", "laterality", "view", "official_split"]].transform("nunique")
    torn = (several > 1).any(axis=1)
    detail = "the rows of the image differ in study, side, view or split"
    excluded = [
        Exclusion(
            "row",
            CohortReason.BAD_ROW,
            f"{row[ORIGIN]}: {detail}",
            row["patient_id"],
            row["image_id"],
            row["lesion_id"],
        )
        for row in records(table[torn])
    ]
    return table[~torn].reset_index(drop=True), excluded
