"""A small study in the layout of VinDr-Mammo: images/<study>/<image>.dicom, a table of breasts, a table of findings.

Folders, columns and the spelling of values are those that public code for the PhysioNet release reads. Categories and
the mixture of photometric interpretations follow Nguyen et al. 2023 (doi 10.1038/s41597-023-02100-7) and the programs
that the authors published with the set.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

SHAPE = (400, 300)
SPACING_MM = 0.085
BREAST_COLUMNS = [
    "study_id",
    "series_id",
    "image_id",
    "laterality",
    "view_position",
    "height",
    "width",
    "breast_birads",
    "breast_density",
    "split",
]
FINDING_COLUMNS = [
    *BREAST_COLUMNS[:-1],
    "finding_categories",
    "finding_birads",
    "xmin",
    "ymin",
    "xmax",
    "ymax",
    "split",
]


def identifier(*parts: object) -> str:
    """A name of 32 hexadecimal digits."""
    return hashlib.md5(repr(parts).encode()).hexdigest()


@dataclass
class Finding:
    """One row of the table of findings; the box is (xmin, ymin, xmax, ymax)."""

    categories: str = "['Mass']"
    birads: str = "BI-RADS 4"
    box: tuple[object, object, object, object] = (40.5, 150.25, 90.5, 200.25)
    values: dict[str, str] = field(default_factory=dict)


NONE = Finding("['No Finding']", "", ("", "", "", ""))


@dataclass
class Exam:
    """Four images of one study; findings stand on the left CC image."""

    number: int
    findings: list[Finding] = field(default_factory=lambda: [Finding()])
    split: str = "training"
    photometric: str = "MONOCHROME2"

    @property
    def study(self) -> str:
        return identifier("study", self.number)

    def image(self, side: str = "L", view: str = "CC") -> str:
        return identifier("image", self.number, side, view)


class VindrWriter:
    """Writes exams below the folder of the study."""

    def __init__(self, study: Path) -> None:
        self.study = study

    def dicom(self, exam: Exam, side: str = "L", view: str = "CC") -> Path:
        return self.study / "images" / exam.study / f"{exam.image(side, view)}.dicom"

    def write(self, exams: list[Exam], breasts: bool = True) -> Path:
        """Write images and tables; return the study folder."""
        breast_rows, finding_rows = [], []
        for exam in exams:
            for side in "LR":
                for view in ("CC", "MLO"):
                    self.write_dicom(exam, side, view)
                    row = self._row(exam, side, view)
                    breast_rows.append(row)
                    found = exam.findings if (side, view) == ("L", "CC") else [NONE]
                    for finding in found:
                        edges = dict(zip(("xmin", "ymin", "xmax", "ymax"), map(str, finding.box), strict=True))
                        own = {"finding_categories": finding.categories, "finding_birads": finding.birads, **edges}
                        finding_rows.append(row | own | finding.values)
        self._write_table("finding_annotations.csv", FINDING_COLUMNS, finding_rows)
        if breasts:
            self._write_table("breast-level_annotations.csv", BREAST_COLUMNS, breast_rows)
        return self.study

    def _write_table(self, name: str, columns: list[str], rows: list[dict[str, str]]) -> None:
        with (self.study / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)

    @staticmethod
    def _row(exam: Exam, side: str, view: str) -> dict[str, str]:
        return {
            "study_id": exam.study,
            "series_id": identifier("series", exam.number),
            "image_id": exam.image(side, view),
            "laterality": side,
            "view_position": view,
            "height": str(SHAPE[0]),
            "width": str(SHAPE[1]),
            "breast_birads": "BI-RADS 2",
            "breast_density": "DENSITY C",
            "split": exam.split,
        }

    def write_dicom(self, exam: Exam, side: str, view: str) -> None:
        rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
        breast = ((rows - SHAPE[0] / 2) / 170) ** 2 + (columns / 220) ** 2 < 1
        grain = np.random.default_rng(exam.number).normal(0, 15, SHAPE)
        pixels = np.clip(100 + 2000 * breast + grain, 0, 4095).astype(np.uint16)
        pixels = pixels if side == "L" else pixels[:, ::-1]
        dataset = pydicom.Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[exam.image(side, view)])
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.Modality, dataset.PresentationIntentType = "MG", "FOR PRESENTATION"
        dataset.ImageLaterality, dataset.ViewPosition = side, view
        dataset.ImagerPixelSpacing = [SPACING_MM, SPACING_MM]
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *SHAPE, 1
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = exam.photometric, 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        stored = pixels if exam.photometric == "MONOCHROME2" else 4095 - pixels
        dataset.PixelData = np.ascontiguousarray(stored).tobytes()
        dataset["PixelData"].VR = "OW"
        path = self.dicom(exam, side, view)
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)


def some_exams(count: int = 6) -> list[Exam]:
    """Exams with one mass each, every second one BI-RADS 3, the last third in the test part."""
    return [
        Exam(
            number,
            [Finding(birads=f"BI-RADS {3 + 2 * (number % 2)}")],
            "test" if 3 * number >= 2 * count else "training",
        )
        for number in range(count)
    ]
