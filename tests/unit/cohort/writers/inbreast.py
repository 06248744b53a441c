"""A small study in the layout of INbreast: AllDICOMs, AllXML with OsiriX property lists, INbreast.csv with semicolons.

Folders, file names, the columns of the table and the keys of a region are those that public code for the release reads.
Kinds of regions, single calcifications drawn as contours or dots, and 70 micrometres follow Moreira et al., Academic
Radiology 19:236-248, 2012.
"""

from __future__ import annotations

import plistlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

SHAPE = (400, 300)
HEADER = "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"
Point = tuple[float, float]


def rectangle(y0: float, x0: float, y1: float, x1: float) -> list[Point]:
    """Corners as (y, x)."""
    return [(y0, x0), (y0, x1), (y1, x1), (y1, x0)]


def region(name: str, points: list[Point], **keys: Any) -> dict[str, Any]:
    """A region as OsiriX writes it, from points (y, x)."""
    texts = [f"({x:.6f}, {y:.6f})" for y, x in points]
    values = {
        "Area": 0.5,
        "Center": "(0.000000, 0.000000, 0.000000)",
        "Dev": 12.5,
        "IndexInImage": 0,
        "Max": 3000.0,
        "Mean": 2000.0,
        "Min": 1000.0,
        "Name": name,
        "NumberOfPoints": len(texts),
        "Point_mm": [f"({x * 0.07:.6f}, {y * 0.07:.6f}, 0.000000)" for y, x in points],
        "Point_px": texts,
        "Total": 1.0,
        "Type": 15,
    }
    return {name: value for name, value in (values | keys).items() if value is not None}


def mammogram(side: str, seed: int = 0) -> np.ndarray:
    """A breast (rows, columns) of 14 bit at its side of the picture, with grain."""
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    breast = ((rows - SHAPE[0] / 2) / 170) ** 2 + (columns / 220) ** 2 < 1
    grain = np.random.default_rng(seed).normal(0, 60, SHAPE)
    picture = np.clip(300 + 6000 * breast + grain, 0, 2**14 - 1).astype(np.uint16)
    return picture if side == "L" else picture[:, ::-1]


@dataclass
class Film:
    """One film: its row in the table, its regions (None: no file), and what makes it odd."""

    number: str
    patient: str
    side: str = "L"
    view: str = "CC"
    birads: str = "2"
    density: str = "2"
    regions: list[Any] | None = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.number}_{self.patient}_MG_{self.side}_{self.view}_ANON.dcm"


class InbreastWriter:
    """Writes films, their contours and the table below the release's folder."""

    def __init__(self, study: Path, below: str = "") -> None:
        self.study = study
        self.root = study / below

    def dicom(self, film: Film) -> Path:
        return self.root / "AllDICOMs" / film.name

    def contours(self, film: Film) -> Path:
        return self.root / "AllXML" / f"{film.number}.xml"

    def write(self, films: list[Film], tail: str = "") -> Path:
        """Write everything; return the study folder."""
        for folder in ("AllDICOMs", "AllXML"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        lines = [HEADER]
        for film in films:
            self.write_dicom(film)
            if film.regions is not None:
                image = {"ImageIndex": 0, "NumberOfROIs": len(film.regions), "ROIs": film.regions}
                self.contours(film).write_bytes(plistlib.dumps({"Images": [image]}))
            view = {"ML": "MLO"}.get(film.view, film.view)
            row = {"side": film.side, "view": view, "number": film.number, "acr": film.density, "birads": film.birads}
            row |= film.values
            lines.append(
                f"removed;removed;{row['side']};{row['view']};201001;{row['number']};{row['acr']};{row['birads']}"
            )
        (self.root / "INbreast.csv").write_text("\n".join([*lines, tail]))
        return self.study

    def write_dicom(self, film: Film) -> None:
        pixels = mammogram(film.side, int(film.number))
        dataset = pydicom.Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[film.name])
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.Modality, dataset.PresentationIntentType = "MG", "FOR PRESENTATION"
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *SHAPE, 1
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 14, 13
        dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.save_as(self.dicom(film), enforce_file_format=True)


def some_films(count: int = 8) -> list[Film]:
    """Films of as many patients with one mass each, every second one BI-RADS 5: enough for a split."""
    return [
        Film(
            str(90000000 + number),
            f"{number:016x}",
            birads="5" if number % 2 else "2",
            regions=[region("Mass", rectangle(150, 40, 190, 90))],
        )
        for number in range(count)
    ]
