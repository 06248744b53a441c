"""CSAW-CC: screening mammograms of Karolinska with cancers outlined (Strand, doi 10.5878/45vm-t798).

Which image counts as malignant, normal or neither is a convention of this reader; docs/datasets/csaw-cc.md has it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import pandas as pd

from mammoflow.cohort.image_files import choose_file
from mammoflow.cohort.numbers import parse_integer
from mammoflow.cohort.plain_text import plain_text
from mammoflow.cohort.reader import ROW_COLUMNS, Exclusion, FoundImage, FoundLesion, Reader, Row
from mammoflow.cohort.table_files import ORIGIN, PROBLEM, read_text_table, records, require_columns
from mammoflow.cohort.word_lists import Label
from mammoflow.cohort.words import BLANKS, parse_side
from mammoflow.errors import ConfigError, ExcludedCase, StudyError
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.dicom_header import image_shape
from mammoflow.formats.listing import walk
from mammoflow.formats.study_paths import safe_path
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.labels import LabelReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.storage.names import safe_name

TABLES = ("CSAW-CC_breast_cancer_screening_data.csv", "anon_dataset_nonhidden_211125.csv")
"""The table's name in the published set, and the one that earlier copies have."""
ALIASES = {"dicom_imagelaterality": "imagelaterality", "dicom_viewposition": "viewposition"}
NEEDED = ["anon_patientid", "anon_filename", "imagelaterality", "viewposition", "x_case", "x_cancer_laterality"]
EXAM_COLUMNS = [
    "exam_year",
    "x_age",
    "x_case",
    "x_cancer_laterality",
    "x_type",
    "x_lymphnode_met",
    "rad_timing",
    "rad_r1",
    "rad_r2",
    "rad_recall",
    "rad_recall_type_right",
    "rad_recall_type_left",
    "libra_breastarea",
    "libra_densearea",
    "libra_percentdensity",
]
"""Kept as they are, apart from blanks, in the tables of images and lesions, as text; "" where the table lacks them."""
DECIDING = ["x_case", "x_cancer_laterality", "x_type", "rad_timing"]
"""Columns behind the label and its detail; words for a blank, such as NULL, are blanks in them."""
PRIVATE_COLUMNS = ["image_name", "mask_name", *EXAM_COLUMNS]
FILE_NAME = re.compile(r"(?P<patient>\w+?)_\d{8}_(?P<side>[LR])_(?P<view>[A-Z]+)_\d+", re.IGNORECASE)
MASK_NAME = re.compile(r"(?P<image>.+)_mask", re.IGNORECASE)
IMAGE_SUFFIXES = (".dcm", ".dicom", ".png", ".tif", ".tiff")  # in order of preference
DICOM_SUFFIXES = IMAGE_SUFFIXES[:2]
CANCERS = {1: "in situ", 2: "invasive, at most 15 mm", 3: "invasive, above 15 mm"}
TIMINGS = {
    1: "screen-detected (diagnosis within 60 days)",
    2: "interval cancer (diagnosis after 60 to 729 days)",
    3: "prior examination (diagnosis after 730 days or more)",
    None: "rad_timing is blank",
}
BOTH_SIDES = frozenset({"both", "bilateral", "left and right", "right and left"})


class StudyReader(Reader):
    """The table of the set, one row per image, with its DICOM files and PNG masks anywhere below the study folder."""

    def read_rows(self) -> tuple[pd.DataFrame, list[Exclusion]]:
        """Turn the table's rows into mammoflow's words; what cannot be read is excluded."""
        rows: list[dict[str, Any]] = []
        excluded = []
        for values in records(self._table):
            try:
                rows.append(_read_row(values, self._masks))
            except ValueError as error:
                detail = f"{values[ORIGIN]}: {error}"
                excluded.append(Exclusion("row", CohortReason.BAD_ROW, detail, str(values["anon_patientid"])))
        return pd.DataFrame(rows, columns=[*ROW_COLUMNS, *PRIVATE_COLUMNS, ORIGIN]), excluded

    def find_image(self, rows: Sequence[Row]) -> FoundImage:
        """Find the file of the table's name, also converted to PNG or TIFF; refuse a mask where no cancer is."""
        row = rows[0]
        stem = PurePosixPath(str(row["image_name"])).stem
        names = self._images.get(stem.lower())
        if names is None:
            raise ExcludedCase(FileReason.MISSING_FILE, f"no file {stem} with a suffix of {', '.join(IMAGE_SUFFIXES)}")
        name, others = choose_file(self.study, names, rows) if len(names) > 1 else (names[0], {})
        path = safe_path(self.study, name)
        if path.stat().st_size == 0:
            raise ExcludedCase(FileReason.TRUNCATED, f"{path.name} is empty")
        exam = {column: row[column] for column in EXAM_COLUMNS}
        if row["label"] == "normal" and row["mask_name"] and self._marked(str(row["mask_name"])) > 1:
            annotation = f"x_case {row['x_case']}, cancer in the breast {row['x_cancer_laterality'] or 'none'}"
            raise ExcludedCase(
                LabelReason.LABEL_CONFLICT,
                f"{row[ORIGIN]}: {row['mask_name']} marks a cancer, the table says {annotation}",
            )
        if path.suffix.lower() in DICOM_SUFFIXES:
            height, width = image_shape(open_dicom(path))
            return FoundImage(name, height, width, further=exam, passed_over=others)
        return FoundImage(name, further=exam)

    def find_lesion(self, row: Row, image: FoundImage) -> FoundLesion:
        """Check that the cancer is outlined on this image; a mask of one pixel means that there is none."""
        name = str(row["mask_name"])
        timing = TIMINGS[parse_integer(str(row["rad_timing"]), 1, 3)]
        if not name:
            raise ExcludedCase(
                LesionReason.MASK_NOT_FOUND, f"no {PurePosixPath(image.path).stem}_mask.png; {row[ORIGIN]}: {timing}"
            )
        marked = self._marked(name)
        if marked <= 1:
            raise ExcludedCase(
                LesionReason.MASK_EMPTY, f"{name} marks {marked} pixels, no outline; {row[ORIGIN]}: {timing}"
            )
        return FoundLesion(name, {column: str(row[column]) for column in EXAM_COLUMNS})

    def audit(self) -> dict[str, int]:
        """Count the table as it is, and the masks that were found."""
        table = self._table
        cases = table[table["x_case"].str.removesuffix(".0") == "1"]
        sides = cases["x_cancer_laterality"].str.lower()
        same_breast = cases[(cases["imagelaterality"].str[:1].str.lower() == sides.str[:1]) | sides.isin(BOTH_SIDES)]
        timings = Counter(text.removesuffix(".0") or "blank" for text in same_breast.get("rad_timing", []))
        stems = {PurePosixPath(name).stem.lower() for name in table["anon_filename"]}
        exams = table.get("exam_year", pd.Series([""] * len(table)))
        return {
            "rows": len(table),
            "patients": int(table["anon_patientid"].nunique()),
            "patients with cancer": int(cases["anon_patientid"].nunique()),
            "examinations": len(set(zip(table["anon_patientid"], exams, strict=True))),
            **{f"images of the breast with cancer, rad_timing {key}": timings[key] for key in sorted(timings)},
            "masks": len(self._masks),
            "masks of images that the table does not name": len(set(self._masks) - stems),
        }

    @cached_property
    def _table(self) -> pd.DataFrame:
        name = self._table_name
        table = read_text_table(self.study / name)
        new_names = {old: new for old, new in ALIASES.items() if old in table.columns and new not in table.columns}
        table = table.rename(columns=new_names)
        require_columns(table, NEEDED, f"case table {name}")
        deciding = [column for column in DECIDING if column in table.columns]
        return table.assign(**{name: table[name].mask(table[name].str.lower().isin(BLANKS), "") for name in deciding})

    @property
    def _table_name(self) -> str:
        if len(self.dataset.tables) > 1:
            raise ConfigError(
                f"cohort.dataset.tables has {len(self.dataset.tables)} entries; the reader 'csaw-cc' takes one"
            )
        if self.dataset.tables:
            return self.dataset.tables[0]
        masks = sorted(
            (path for name in TABLES for path in self._files.get(Path(name).stem.lower(), []) if path.endswith(".csv")),
            key=lambda path: (path.count("/"), path),
        )
        if not masks:
            raise StudyError(
                f"no case table {' or '.join(TABLES)} in {self.study} or below; set cohort.dataset.folder to the "
                "folder of the data set, or cohort.dataset.tables to its table"
            )
        return masks[0]

    @cached_property
    def _files(self) -> dict[str, list[str]]:
        """Paths, relative to the study folder, of all files by their name without suffix, in lower case."""
        files: dict[str, list[str]] = {}
        for folder, inner, names in walk(self.study):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            relative = folder.relative_to(self.study)
            for name in sorted(names):
                if not name.startswith("."):
                    files.setdefault(Path(name).stem.lower(), []).append((relative / name).as_posix())
        return files

    @cached_property
    def _images(self) -> dict[str, list[str]]:
        """Paths of each image by its name without suffix: all DICOM files, or else one picture made of them."""
        images: dict[str, list[str]] = {}
        for stem, paths in self._files.items():
            usable = [path for path in paths if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES]
            if usable and not MASK_NAME.fullmatch(stem):
                usable.sort(key=lambda path: IMAGE_SUFFIXES.index(PurePosixPath(path).suffix.lower()))
                dicom = [path for path in usable if PurePosixPath(path).suffix.lower() in DICOM_SUFFIXES]
                images[stem] = dicom or usable[:1]
        return images

    @cached_property
    def _masks(self) -> dict[str, str]:
        """Path of each mask by the name, without suffix, of its image."""
        return {
            found["image"]: path
            for stem, paths in self._files.items()
            if (found := MASK_NAME.fullmatch(stem))
            for path in paths[:1]
            if path.lower().endswith(".png")
        }

    def _marked(self, name: str) -> int:
        """Return how many pixels a mask marks; what cannot be decoded counts as marked, the image stage says why."""
        path = safe_path(self.study, name)
        try:
            mask = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_GRAYSCALE)
        except cv2.error:
            return 2
        return 2 if mask is None else int(cv2.countNonZero(mask))


def _read_row(values: dict[str, str], masks: dict[str, str]) -> dict[str, Any]:
    """Turn one row of the table into `ROW_COLUMNS`; raise ValueError where it cannot be read."""
    if values[PROBLEM]:
        raise ValueError(values[PROBLEM])
    missing = [name for name in NEEDED[:4] if not values[name]]
    if missing:
        raise ValueError(f"no value for {', '.join(missing)}")
    patient, stem = plain_text(values["anon_patientid"]).removesuffix(".0"), PurePosixPath(values["anon_filename"]).stem
    side, view = parse_side(values["imagelaterality"]), values["viewposition"].upper()
    _compare_with_name(stem, patient, side, view)
    label = _label(values["x_case"], values["x_cancer_laterality"], side)
    kind = parse_integer(values.get("x_type", ""), 1, 3)
    parse_integer(values.get("rad_timing", ""), 1, 3)
    image_id = safe_name(stem)
    return dict.fromkeys(ROW_COLUMNS) | {
        "patient_id": patient,
        "image_id": image_id,
        "lesion_id": f"{image_id}_L0",
        "finding_id": safe_name(patient, values.get("exam_year", "").removesuffix(".0"), side),
        "laterality": side,
        "view": view,
        "lesion_type": "unknown",
        "label": label,
        "pathology": (CANCERS[kind] if kind else "cancer") if label == "malignant" else label,
        "official_split": "",
        "image_name": values["anon_filename"],
        "mask_name": masks.get(stem.lower(), ""),
        **{name: values.get(name, "") for name in EXAM_COLUMNS},
        ORIGIN: values[ORIGIN],
    }


def _label(case: str, cancer_side: str, side: str) -> Label | None:
    """Tell what the table says about one breast; None where it does not say in which breast the cancer is."""
    if parse_integer(case, 0, 1) is None:
        return None
    if parse_integer(case, 0, 1) == 0:
        return "normal"
    if cancer_side.lower() in BOTH_SIDES:
        return "malignant"
    diseased = parse_side(cancer_side)
    if not diseased:
        return None
    return "malignant" if diseased == side else "normal"


def _compare_with_name(stem: str, patient: str, side: str, view: str) -> None:
    """Refuse a row whose file is, by its own name, another patient's, side or view."""
    match = FILE_NAME.fullmatch(stem)
    if match is None:
        return
    patient_side_view = match["patient"].lstrip("0"), match["side"].upper(), match["view"].upper()
    expected = patient.lstrip("0"), side, view
    if patient_side_view != expected:
        raise ValueError(f"the file is called {stem}, but the row says patient {patient}, side {side}, view {view}")
