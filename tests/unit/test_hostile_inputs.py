"""Pictures, workbooks and tables that would fill the memory or never end: each one ends in a reason, at once."""

from __future__ import annotations

import itertools
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import openpyxl
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, SecondaryCaptureImageStorage

from mammoflow.cohort.table_files import TableForm, read_text_table
from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.config.yaml_text import load_yaml
from mammoflow.errors import ConfigError, ExcludedCase, StudyError
from mammoflow.imaging.film import read_film
from mammoflow.reasons.files import FileReason

SIDE = 65_535
MOST_BYTES = 64 * 2**20  # of Python's own memory; the pictures claim 4 to 8 GB


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """Fail where a test takes the memory that a file asks for."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_BYTES


def png(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")


def jpeg(side: int) -> bytes:
    frame = struct.pack(">HBHHB", 11, 8, side, side, 1) + b"\x01\x11\x00"
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xc0" + frame + b"\xff\xd9"


def tiff(side: int) -> bytes:
    entries = [(256, 4, side), (257, 4, side), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    entries += [(278, 4, side), (279, 4, 2**32 - 1)]
    packed = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", len(entries)) + packed + bytes(4)


def dicom(path: Path, syntax: str, pixels: bytes) -> None:
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    dataset.Rows = dataset.Columns = SIDE
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = pixels
    if syntax == JPEG2000Lossless:
        dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize("kind", ["png", "jpg", "tif"])
def test_a_small_picture_that_claims_65535_by_65535(kind: str, tmp_path: Path) -> None:
    writers: dict[str, Callable[[int], bytes]] = {"png": png, "jpg": jpeg, "tif": tiff}
    (tmp_path / f"film.{kind}").write_bytes(writers[kind](SIDE))
    with pytest.raises(ExcludedCase) as caught:
        read_film(tmp_path / f"film.{kind}")
    assert caught.value.reason in (FileReason.UNREADABLE, FileReason.TRUNCATED)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEG2000Lossless])
def test_a_small_dicom_file_that_claims_65535_by_65535(syntax: str, tmp_path: Path) -> None:
    codestream = encapsulate([b"\xff\x4f\xff\x51" + bytes(40)])
    pixels = codestream if syntax == JPEG2000Lossless else bytes(2000)
    dicom(tmp_path / "film.dcm", syntax, pixels)
    with pytest.raises(ExcludedCase) as caught:
        read_film(tmp_path / "film.dcm")
    assert caught.value.reason in (FileReason.UNREADABLE, FileReason.TRUNCATED)
    assert "65535" in caught.value.detail or "65,535" in caught.value.detail


def test_a_workbook_that_unpacks_to_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mammoflow.cohort.spreadsheets.LARGEST_INFLATED", 2**20)
    path = tmp_path / "cases.xlsx"
    openpyxl.Workbook().save(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet9.xml", bytes(2**21))
    assert path.stat().st_size < 2**14
    with pytest.raises(StudyError, match=r"cases\.xlsx holds .* once it is unpacked; expected at most .*CSV"):
        read_text_table(path)


def test_a_sheet_with_a_cell_in_its_last_corner(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active["A1"], book.active["XFD1048576"] = "patient", "stray"
    book.save(tmp_path / "cases.xlsx")
    with pytest.raises(StudyError, match=r"1,048,576 rows and 16,384 columns; expected at most .*remove stray cells"):
        read_text_table(tmp_path / "cases.xlsx")


def test_a_field_or_a_row_without_end(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text('patient,label\n"' + "x\n" * 70_000, encoding="utf-8")
    with pytest.raises(StudyError, match=r"cases\.csv.*quot"):
        read_text_table(tmp_path / "cases.csv", TableForm())
    header = ",".join(f"c{number}" for number in range(500))
    (tmp_path / "wide.csv").write_text(f"{header}\n{',' * 499}\n", encoding="utf-8")
    assert np.shape(read_text_table(tmp_path / "wide.csv"))[0] <= 1


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 500 + "]" * 500,
        "a: &a [x]\n" + "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in itertools.pairwise("abcdefgh")),
        "run: &a [*a]",
        f"cohort: {{shards: {'9' * 5000}}}",
        f"cohort: {{shards: 0x{'f' * 5000}}}",
        f"cohort: {{shards: 1{':59' * 3000}}}",
        "run: 2020-99-99",
        "!!int",
        "run: !!bool maybe",
        "run: !!timestamp tomorrow",
        "run: !!float x",
        "run: 2001-12-14t21:59:43.10-99:00",
        "cohort: {split: {test_fraction: .nan}}",
        'run: "\\ud800"',
    ],
)  # fmt: skip
def test_a_configuration_that_is_a_bomb(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate_settings(StudyConfig, load_yaml(text, "study.yaml"), "study.yaml")
    assert "study.yaml" in str(caught.value)
    assert len(str(caught.value)) < 2000
