"""Compressed pixels are decoded in a process of their own; what ends it costs the file and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from mammoflow.cohort.mask_content import resolve_mask
from mammoflow.cohort.stored_copies import compare_copies
from mammoflow.cohort.words import DIFFERENT, IDENTICAL
from mammoflow.errors import ExcludedCase
from mammoflow.formats import isolated
from mammoflow.reasons.files import FileReason
from mammoflow.run.workers import Lost

MASK = np.zeros((64, 48), np.uint8)
MASK[20:30, 10:20] = 255
PICTURE = np.arange(64 * 48, dtype=np.uint8).reshape(64, 48)


def write(path: Path, pixels: np.ndarray, compressed: bool) -> Path:
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = pixels.tobytes()
    if compressed:
        dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_a_compressed_mask_is_told_from_a_compressed_crop(tmp_path: Path) -> None:
    mask = write(tmp_path / "a.dcm", MASK, compressed=True)
    crop = write(tmp_path / "b.dcm", PICTURE, compressed=True)
    assert resolve_mask([crop, mask], 64, 48).mask == mask


def test_only_compressed_files_take_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object, **__: object) -> object:
        return iter([(0, Lost("ended its process with exit code -6"))])

    monkeypatch.setattr(isolated, "map_isolated", lost)
    plain, packed = (write(tmp_path / f"{kind}.dcm", MASK, kind == "packed") for kind in ("plain", "packed"))
    assert resolve_mask([plain], 64, 48).mask == plain
    assert compare_copies(plain, plain) == IDENTICAL
    with pytest.raises(ExcludedCase, match=r"decoding packed\.dcm ended its process with exit code -6") as problem:
        resolve_mask([packed], 64, 48)
    assert problem.value.reason is FileReason.UNREADABLE
    assert compare_copies(plain, packed) == str(FileReason.UNREADABLE)


def test_copies_of_another_compression_are_compared(tmp_path: Path) -> None:
    plain, packed = (write(tmp_path / f"{kind}.dcm", PICTURE, kind == "packed") for kind in ("plain", "packed"))
    assert compare_copies(plain, packed) == IDENTICAL
    assert compare_copies(write(tmp_path / "other.dcm", MASK, compressed=False), packed) == DIFFERENT


def test_a_decoder_that_ends_its_process_is_a_reason() -> None:
    with pytest.raises(ExcludedCase, match="ended its process with exit code -6"):
        isolated.in_process(os.abort)


def test_what_a_decoder_refuses_keeps_its_reason(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", PICTURE, compressed=True)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\x01\x00\x00\x00\x40\x00\x00\x00", b"\x01\x00\x00\x00\xff\xff\x00\x00"))
    assert path.read_bytes() != content  # where the first segment of the frame starts
    with pytest.raises(ExcludedCase, match="the decoder stopped") as problem:
        resolve_mask([path], 64, 48)
    assert problem.value.reason is FileReason.UNREADABLE
