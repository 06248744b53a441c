"""A small study in the layout of CSAW-CC: one table with a row an image, DICOM files, and PNG masks in a folder.

Column names, file names and the meaning of the codes are those that programs which read the set use; where they come
from is in docs/datasets/csaw-cc.md.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

COLUMNS = [
    "anon_patientid",
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
    "imagelaterality",
    "viewposition",
    "libra_breastarea",
    "libra_densearea",
    "libra_percentdensity",
    "anon_filename",
]
TABLE = "CSAW-CC_breast_cancer_screening_data.csv"
SHAPE = (160, 100)
VIEWS = [(side, view) for side in ("Left", "Right") for view in ("CC", "MLO")]


def film(seed: int) -> np.ndarray:
    """A 16-bit picture: a bright half disc at the left side with grain in it, black elsewhere."""
    rows, columns = np.indices(SHAPE)
    inside = (rows - SHAPE[0] / 2) ** 2 / 70**2 + columns**2 / 80**2 < 1
    grain = np.random.default_rng(seed).integers(18000, 30000, SHAPE)
    return np.where(inside, grain, 0).astype(np.uint16)


def outline() -> np.ndarray:
    """A mask of 0 and 255 with a rectangle inside the breast."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[70:95, 20:44] = 255
    return mask


class CsawWriter:
    """Writes examinations of four images each, and the table when `finish` is called."""

    def __init__(self, study: Path, write_dicom: Callable[..., Path], below: str = "data/images_1") -> None:
        self.study = study
        self.images = study / below
        self.masks = study / "data" / "anon_annotations_nonhidden"
        self.rows: list[dict[str, str]] = []
        self.write_dicom = write_dicom

    def name(self, patient: int, side: str, view: str, number: int = 1) -> str:
        return f"{patient:05d}_20990909_{side[0]}_{view}_{number}"

    def add_exam(
        self,
        patient: int,
        cancer: str = "",
        timing: int | None = None,
        masks: bool | None = None,
        number: int = 1,
        **values: str,
    ) -> None:
        """Write the four images of one examination; a screen-detected cancer is outlined in both views."""
        outlined = timing == 1 if masks is None else masks
        for place, (side, view) in enumerate(VIEWS):
            name = self.name(patient, side, view, number)
            spacing = {"ImagerPixelSpacing": [0.5, 0.5]}
            self.write_dicom(self.images / f"{name}.dcm", film(10 * patient + place), **spacing)
            if outlined and side == cancer:
                self.write_mask(name, outline())
            row = {
                "anon_patientid": f"{patient:05d}",
                "exam_year": str(2010 + 2 * number),
                "x_age": "1",
                "x_case": "1" if cancer else "0",
                "x_cancer_laterality": cancer,
                "x_type": "2.0" if cancer else "",
                "x_lymphnode_met": "0.0" if cancer else "",
                "rad_timing": f"{timing}.0" if timing else "",
                "rad_r1": "1.0" if timing == 1 else "0.0",
                "rad_r2": "1.0" if timing == 1 else "0.0",
                "rad_recall": "1.0" if timing == 1 else "0.0",
                "rad_recall_type_right": "",
                "rad_recall_type_left": "",
                "imagelaterality": side,
                "viewposition": view,
                "libra_breastarea": "120.5",
                "libra_densearea": "30.1",
                "libra_percentdensity": "25.0",
                "anon_filename": f"{name}.dcm",
            }
            self.rows.append(row | values)

    def write_mask(self, name: str, mask: np.ndarray) -> Path:
        path = self.masks / f"{name}_mask.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
        return path

    def add_usual(self) -> None:
        """Write four patients with a screen-detected cancer and four controls."""
        for patient in range(1, 5):
            self.add_exam(patient, "Left" if patient % 2 else "Right", timing=1)
        for patient in range(5, 9):
            self.add_exam(patient)

    def finish(self, table: str = f"data/{TABLE}") -> Path:
        """Write the table and return the study folder."""
        path = self.study / table
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)
        return self.study
