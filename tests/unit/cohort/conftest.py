"""A small CBIS-DDSM-like study, written by the tests with every quirk of the real one that a test asks for."""

from __future__ import annotations

import csv
import importlib.util
import multiprocessing
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

MASS_COLUMNS = [
    "patient_id",
    "breast_density",
    "left or right breast",
    "image view",
    "abnormality id",
    "abnormality type",
    "mass shape",
    "mass margins",
    "assessment",
    "pathology",
    "subtlety",
    "image file path",
    "cropped image file path",
    "ROI mask file path",
]
CALCIFICATION_COLUMNS = [
    {"breast_density": "breast density", "mass shape": "calc type", "mass margins": "calc distribution"}.get(name, name)
    for name in MASS_COLUMNS
]
FILM_SHAPE = (60, 40)


def write_dicom(path: Path, pixels: np.ndarray, **elements: object) -> Path:
    """Write a secondary capture as CBIS-DDSM has them: implicit little endian, 8 or 16 bit, no spacing."""
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.Modality = "MG"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = pixels.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.tobytes() + b"\x00" * (pixels.nbytes % 2)
    for name, value in elements.items():
        setattr(dataset, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def film_pixels(shape: tuple[int, int] = FILM_SHAPE) -> np.ndarray:
    """A 16-bit picture with many grey levels."""
    return (np.arange(shape[0] * shape[1], dtype=np.uint32).reshape(shape) * 7 % 60000).astype(np.uint16)


def mask_pixels(shape: tuple[int, int] = FILM_SHAPE) -> np.ndarray:
    """An 8-bit picture of 0 and 255 with a rectangle in it."""
    mask = np.zeros(shape, np.uint8)
    mask[shape[0] // 3 : shape[0] // 2, shape[1] // 3 : shape[1] // 2] = 255
    return mask


@dataclass
class Case:
    """One row of a case table and how its files are written."""

    patient: str = "P_00001"
    side: str = "LEFT"
    view: str = "CC"
    abnormality: int = 1
    kind: str = "Mass"
    official: str = "Training"
    pathology: str = "BENIGN"
    assessment: str = "3"
    film_shape: tuple[int, int] = FILM_SHAPE
    mask_shape: tuple[int, int] | None = None
    mask_first: bool = False  # the mask has the name that the table gives to the crop
    tool_layout: bool = False
    values: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        return f"{self.kind}-{self.official}_{self.patient}_{self.side}_{self.view}"

    @property
    def lesion_folder(self) -> str:
        return f"{self.folder}_{self.abnormality}"

    @property
    def film_name(self) -> str:
        return f"{self.folder}/1.2.{len(self.folder)}/1.3.1/000000.dcm"

    def lesion_name(self, number: int) -> str:
        return f"{self.lesion_folder}/1.2.4/1.3.2/{number:06d}.dcm"


class StudyWriter:
    """Writes cases into a folder; `film`, `mask` and `crop` say where a case's files lie."""

    def __init__(self, root: Path, below: str = "") -> None:
        self.root = root
        self.files = root / below
        self.files.mkdir(parents=True, exist_ok=True)

    def film(self, case: Case) -> Path:
        if case.tool_layout:
            return self.files / case.folder / "10-04-2016-DDSM-12345/1-full mammogram images-60038/1-1.dcm"
        return self.files / case.film_name

    def mask(self, case: Case) -> Path:
        return self._lesion_file(case, 0 if case.mask_first else 1)

    def crop(self, case: Case) -> Path:
        return self._lesion_file(case, 1 if case.mask_first else 0)

    def _lesion_file(self, case: Case, number: int) -> Path:
        if case.tool_layout:
            series = self.files / case.lesion_folder / "10-04-2016-DDSM-54321/1-ROI mask images-93761"
            return series / f"1-{number + 1}.dcm"
        return self.files / case.lesion_name(number)

    def write(self, cases: list[Case]) -> Path:
        """Write files and tables; return the study folder."""
        for case in cases:
            if not self.film(case).exists():
                write_dicom(self.film(case), film_pixels(case.film_shape))
            write_dicom(self.mask(case), mask_pixels(case.mask_shape or case.film_shape))
            write_dicom(self.crop(case), film_pixels((21, 17)))
        self.write_tables(cases)
        return self.root

    def write_tables(self, cases: list[Case]) -> None:
        """Write one table a type and official side, with CRLF behind the header and a newline in a quoted path."""
        for kind, official in {(case.kind, case.official) for case in cases}:
            columns = MASS_COLUMNS if kind == "Mass" else CALCIFICATION_COLUMNS
            side = "train" if official == "Training" else "test"
            path = self.root / f"{kind.lower()}_case_description_{side}_set.csv"
            with path.open("w", newline="") as file:
                writer = csv.writer(file, lineterminator="\r\n")
                writer.writerow(columns)
                for case in cases:
                    if (case.kind, case.official) == (kind, official):
                        row = self._row(case) | case.values
                        writer.writerow([row[name] for name in MASS_COLUMNS])

    @staticmethod
    def _row(case: Case) -> dict[str, str]:
        return {
            "patient_id": case.patient,
            "breast_density": "2",
            "left or right breast": case.side,
            "image view": case.view,
            "abnormality id": str(case.abnormality),
            "abnormality type": "mass" if case.kind == "Mass" else "calcification",
            "mass shape": "OVAL",
            "mass margins": "NA",
            "assessment": case.assessment,
            "pathology": case.pathology,
            "subtlety": "4",
            "image file path": case.film_name,
            "cropped image file path": case.lesion_name(0),
            "ROI mask file path": case.lesion_name(1) + "\n",
        }


def some_patients(count: int = 8, **values: object) -> list[Case]:
    """Cases of distinct patients, every second one malignant, enough for a split."""
    return [
        Case(patient=f"P_{9000 + number:05d}", pathology="MALIGNANT" if number % 2 else "BENIGN", **values)  # type: ignore[arg-type]
        for number in range(count)
    ]


@pytest.fixture
def download() -> SimpleNamespace:
    """Everything that a test needs to write a download of its own."""
    return SimpleNamespace(
        Case=Case,
        film_pixels=film_pixels,
        mask_pixels=mask_pixels,
        some_patients=some_patients,
        write_dicom=write_dicom,
        Writer=StudyWriter,
    )


@pytest.fixture
def writer(tmp_path: Path) -> StudyWriter:
    return StudyWriter(tmp_path / "study")


@pytest.fixture(scope="session")
def warm_fork_server() -> None:
    """Start the server of worker processes once, with pytest in it, which every worker would else import again."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(["pytest", "mammoflow.imaging.case"])
    forkserver.ensure_running()


@pytest.fixture(scope="session")
def load_writer() -> Callable[[str], ModuleType]:
    """Load a module of the folder `writers`, which writes small studies in the layout of one data set."""

    def load(name: str) -> ModuleType:
        full = f"mammoflow_writer_{name}"
        if full not in sys.modules:
            spec = importlib.util.spec_from_file_location(full, Path(__file__).parent / "writers" / f"{name}.py")
            if spec is None or spec.loader is None:
                raise ImportError(f"no writer {name}")
            sys.modules[full] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[full])
        return sys.modules[full]

    return load
