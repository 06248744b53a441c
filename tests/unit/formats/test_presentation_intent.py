"""What an image was made for, and the choice between files of one image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from mammoflow.cohort.image_files import choose_file
from mammoflow.errors import ExcludedCase
from mammoflow.formats.presentation_intent import presentation_intent
from mammoflow.reasons.files import FileReason

FOR_PRESENTATION = DigitalMammographyXRayImageStorageForPresentation
FOR_PROCESSING = DigitalMammographyXRayImageStorageForProcessing


def header(intent: str | None = None, sop_class: str = SecondaryCaptureImageStorage) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = sop_class
    if intent is not None:
        dataset.PresentationIntentType = intent
    return dataset


def write(path: Path, dataset: Dataset, frames: int = 1) -> Path:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 4, 5, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.NumberOfFrames = frames
    dataset.PixelData = np.zeros(20 * frames, dtype=np.uint8).tobytes()
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path, enforce_file_format=True)
    return path


def preferred(paths: list[Path]) -> Path:
    folder = paths[0].parent if paths else Path()
    return folder / choose_file(folder, [path.name for path in paths])[0]


@pytest.mark.parametrize(
    ("dataset", "intent"),
    [
        (header("FOR PRESENTATION"), "presentation"),
        (header("FOR PROCESSING"), "processing"),
        (header(sop_class=FOR_PRESENTATION), "presentation"),
        (header(sop_class=FOR_PROCESSING), "processing"),
        (header("FOR PRESENTATION", FOR_PROCESSING), "presentation"),
        (header("SOMETHING"), "unknown"),
        (header(), "unknown"),
        (Dataset(), "unknown"),
    ],
)
def test_intent(dataset: Dataset, intent: str) -> None:
    assert presentation_intent(dataset) == intent


def test_for_presentation_goes_first_in_any_order(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw.dcm", header("FOR PROCESSING"))
    plain = write(tmp_path / "plain.dcm", header())
    shown = write(tmp_path / "shown.dcm", header(sop_class=FOR_PRESENTATION))
    again = write(tmp_path / "again.dcm", header("FOR PRESENTATION"))
    assert preferred([raw, plain, shown, again]) == shown
    assert preferred([again, shown, raw]) == again
    assert preferred([raw, plain]) == plain
    assert preferred([raw]) == raw


def test_files_of_no_use_are_passed_over(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw.dcm", header("FOR PROCESSING"))
    frames = write(tmp_path / "frames.dcm", header("FOR PRESENTATION"), frames=3)
    (tmp_path / "text.dcm").write_text("no image " * 40)
    assert preferred([frames, tmp_path / "text.dcm", raw]) == raw
    with pytest.raises(ExcludedCase) as problem:
        preferred([frames, tmp_path / "text.dcm"])
    assert problem.value.reason == FileReason.MULTI_FRAME
    with pytest.raises(ExcludedCase) as problem:
        preferred([])
    assert problem.value.reason == FileReason.MISSING_FILE
