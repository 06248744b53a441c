"""The texts of a phantom study: four case tables with their oddities, spacing table, manifest, and the marker file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from mammoflow.cohort.phantom.files import NormalRow, StoredFile, TableRow
from mammoflow.cohort.phantom.names import HIDDEN_SUSPICION, NORMAL_TABLE
from mammoflow.config.phantom import PhantomSettings

MARKER = "PHANTOM.md"
"""File whose presence says that a study folder is a phantom study."""

MANIFEST = "manifest.csv"
SPACING_TABLE = "film_spacing.csv"

MASS_COLUMNS = ("breast_density", "mass shape", "mass margins")
CALCIFICATION_COLUMNS = ("breast density", "calc type", "calc distribution")


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def case_table_name(lesion_type: str, split: str) -> str:
    """Name a case table as the collection does."""
    return f"{'mass' if lesion_type == 'mass' else 'calc'}_case_description_{_set(split)}_set.csv"


def _set(split: str) -> str:
    return "train" if split == "Training" else "test"


def case_table(lesion_type: str, rows: Sequence[TableRow]) -> str:
    """Return a case table as text.

    The last column, which the real tables do not have, is the lesion's hidden suspicion.

    As in the real tables lines end in CRLF, the density column is spelt in two ways, and the path of the mask (masses)
    or of the crop (calcifications) is quoted and ends in a newline.
    """
    density, shape, margins = MASS_COLUMNS if lesion_type == "mass" else CALCIFICATION_COLUMNS
    header = (
        *("patient_id", density, "left or right breast", "image view", "abnormality id", "abnormality type"),
        *(shape, margins, "assessment", "pathology", "subtlety"),
        *("image file path", "cropped image file path", "ROI mask file path", HIDDEN_SUSPICION),
    )
    return _csv(header, [_case_row(lesion_type, row) for row in rows])


def _case_row(lesion_type: str, row: TableRow) -> tuple[object, ...]:
    finding, assessment = row.finding, row.finding.assessment
    crop = row.crop_path if lesion_type == "mass" else f"{row.crop_path}\n"
    mask = f"{row.mask_path}\n" if lesion_type == "mass" else row.mask_path
    return (
        *(finding.patient_id, finding.density, _side(finding.laterality), row.view, finding.number, lesion_type),
        *(assessment.shape, assessment.margins, assessment.birads, assessment.pathology, assessment.subtlety),
        *(row.image_path, crop, mask, f"{finding.suspicion:.4f}"),
    )


def normal_table(rows: Sequence[NormalRow]) -> str:
    """Return the table of the films without a lesion."""
    header = ("patient_id", "breast_density", "left or right breast", "image view", "image file path")
    return _csv(
        header,
        [
            (row.breast.patient_id, row.breast.density, _side(row.breast.laterality), row.view, row.image_path)
            for row in rows
        ],
    )


def _side(laterality: str) -> str:
    return "LEFT" if laterality == "L" else "RIGHT"


def case_tables(rows: Sequence[TableRow]) -> dict[str, str]:
    """Return the four case tables by file name; their rows are in the order of patient, breast, view and number."""
    ordered = sorted(rows, key=lambda r: (r.finding.patient_id, r.finding.laterality, r.view, r.finding.number))
    tables = {}
    for lesion_type in ("mass", "calcification"):
        for split in ("Training", "Test"):
            rows_of_table = [r for r in ordered if (r.finding.lesion_type, r.finding.split) == (lesion_type, split)]
            tables[case_table_name(lesion_type, split)] = case_table(lesion_type, rows_of_table)
    return tables


def spacing_table(spacings: Sequence[tuple[str, float]]) -> str:
    """Return the table of film spacings: top folder of the film, and millimetres per pixel."""
    return _csv(("folder", "spacing_mm"), sorted(spacings))


def manifest(files: Sequence[StoredFile]) -> str:
    """Return the manifest: path, digest, kind and pixel spacing of every file, by path."""
    rows = [(file.path, file.sha256, file.kind, file.spacing_mm) for file in sorted(files, key=lambda file: file.path)]
    return _csv(("path", "sha256", "kind", "spacing_mm"), rows)


def marker(settings: PhantomSettings, films: int, normal: int, lesions: int) -> str:
    """Return the text of the marker file."""
    return f"""# Phantom study

Everything in this folder is synthetic. No picture shows a person, and no number says anything about patients.
It was made by mammoflow in the form of a CBIS-DDSM download; which parts are modelled is described in
docs/phantom.md of the project.

- patients: {settings.patients}
- films: {films}, {normal} of them without a lesion (see {NORMAL_TABLE})
- lesions, counted once a view: {lesions}
- seed: {settings.seed}
- pixel spacing: {settings.spacing_mm} mm, a quarter of the patients 0.870 of it (see {SPACING_TABLE})
- layout of the files: {settings.layout}
"""
