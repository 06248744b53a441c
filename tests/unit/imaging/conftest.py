"""Small DICOM files of any header, and studies made of them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from mammoflow.tables.cohort import IMAGES, LESIONS
from mammoflow.tables.files import empty_table, write_table

DicomWriter = Callable[..., Path]


def dicom_dataset(pixels: np.ndarray, **header: Any) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = header.pop("transfer_syntax", ExplicitVRLittleEndian)
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientName, dataset.PatientBirthDate = "Doe^Jane", "19500101"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *pixels.shape, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    if "HighBit" not in header:
        dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    return dataset


@pytest.fixture(scope="session", autouse=True)
def warm_fork_server() -> None:
    """Start the server of worker processes once, with pytest in it, which every worker would else import again."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(["pytest", "mammoflow.imaging.case"])
    forkserver.ensure_running()


@pytest.fixture
def dicom() -> Callable[..., Dataset]:
    return dicom_dataset


@pytest.fixture
def write_dicom() -> DicomWriter:
    def write(path: Path, pixels: np.ndarray, **header: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        dicom_dataset(pixels, **header).save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def film() -> np.ndarray:
    """A film of 400 x 300 with a half-elliptic breast on the left, on a grey background with grain."""
    rows, columns = np.ogrid[:400, :300]
    breast = ((rows - 200) / 160) ** 2 + (columns / 200) ** 2 < 1
    grain = np.random.default_rng(0).normal(0, 300, (400, 300))
    return np.clip(2500 + 20000 * breast + grain, 0, 65535).astype(np.uint16)


@pytest.fixture
def write_shard(tmp_path: Path) -> Callable[[list[dict[str, Any]], list[dict[str, Any]]], Path]:
    """Write cohort tables from the columns that matter."""

    def write(images: list[dict[str, Any]], lesions: list[dict[str, Any]]) -> Path:
        folder = tmp_path / "shard"
        for name, schema, rows in (("images", IMAGES, images), ("lesions", LESIONS, lesions)):
            common = dict.fromkeys(schema.columns) | {"source": "test", "laterality": "L", "view": "CC"}
            common |= {"official_split": "", "split": "train", "shard": 0, "patient_id": "P1"}
            common |= {"finding_id": "F1", "lesion_type": "mass"} if name == "lesions" else {}
            table = pd.DataFrame([common | row for row in rows]) if rows else empty_table(schema)
            write_table(table, schema, folder / f"{name}.parquet")
        return folder

    return write
