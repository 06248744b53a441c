"""Opening files that may be anything: every kind of damage has its reason, and nothing else comes out."""

from __future__ import annotations

import errno
import io
import os
import random
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from mammoflow.errors import ExcludedCase, Reason
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.dicom_header import header_integer, header_value, image_shape
from mammoflow.formats.pixels import has_two_levels, stored_pixels
from mammoflow.formats.study_paths import safe_path, study_name
from mammoflow.reasons.files import FileReason

PICTURE = (np.arange(30 * 20, dtype=np.uint16) * 97).reshape(30, 20)
MASK = np.where(PICTURE > 30000, np.uint8(255), np.uint8(0))


def dicom_bytes(pixels: np.ndarray = PICTURE, syntax: str = ImplicitVRLittleEndian, **elements: object) -> bytes:
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax if syntax != RLELossless else ExplicitVRLittleEndian
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = pixels.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.tobytes()
    if syntax == RLELossless:
        dataset.compress(RLELossless)
    for name, value in elements.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def reason_of(path: Path) -> Reason:
    with pytest.raises(ExcludedCase) as error:
        open_dicom(path)
    return error.value.reason


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless]
)
@pytest.mark.parametrize("pixels", [PICTURE, MASK], ids=["picture", "mask"])
def test_pixels_come_back_as_stored(tmp_path, syntax, pixels):
    path = tmp_path / "a.dcm"
    path.write_bytes(dicom_bytes(pixels, syntax))
    dataset = open_dicom(path)
    assert image_shape(dataset) == (30, 20)
    assert has_two_levels(dataset, path) == (pixels is MASK)
    np.testing.assert_array_equal(stored_pixels(dataset), pixels)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", FileReason.TRUNCATED),
        (b"patient_id,side\r\n" * 40, FileReason.NOT_DICOM),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), FileReason.NOT_DICOM),
        (dicom_bytes()[:-1], FileReason.TRUNCATED),
        (dicom_bytes()[:-900], FileReason.TRUNCATED),
        (dicom_bytes()[:220], FileReason.TRUNCATED),
        (dicom_bytes(syntax=RLELossless)[:-400], FileReason.TRUNCATED),
        (dicom_bytes(syntax=DeflatedExplicitVRLittleEndian)[:-200], FileReason.TRUNCATED),
        (dicom_bytes(PixelData=None), FileReason.NO_PIXELS),
        (dicom_bytes(PixelData=b""), FileReason.NO_PIXELS),
        (dicom_bytes(PixelData=bytes(100)), FileReason.TRUNCATED),
        (dicom_bytes(NumberOfFrames=3, PixelData=PICTURE.tobytes() * 3), FileReason.MULTI_FRAME),
        (dicom_bytes(SamplesPerPixel=3, PixelData=PICTURE.tobytes() * 3), FileReason.NOT_GREY),
        (dicom_bytes(Rows=None), FileReason.UNREADABLE),
        (dicom_bytes(Rows=0), FileReason.UNREADABLE),
        (dicom_bytes(Rows=65535, Columns=65535), FileReason.UNREADABLE),
        (dicom_bytes(BitsAllocated=0), FileReason.UNREADABLE),
    ],
)
def test_each_kind_of_damage_has_its_reason(tmp_path, content, reason):
    path = tmp_path / "bad.dcm"
    path.write_bytes(content)
    assert reason_of(path) is reason


def test_what_is_no_regular_file_is_missing(tmp_path):
    os.mkfifo(tmp_path / "pipe.dcm")
    assert reason_of(tmp_path / "pipe.dcm") is FileReason.MISSING_FILE
    assert reason_of(tmp_path) is FileReason.MISSING_FILE
    assert reason_of(tmp_path / "nothing.dcm") is FileReason.MISSING_FILE


def test_a_deflated_file_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mammoflow.formats.dicom_files.LARGEST_INFLATED", 2**20)
    path = tmp_path / "bomb.dcm"
    path.write_bytes(dicom_bytes(np.zeros((1024, 1025), np.uint16), DeflatedExplicitVRLittleEndian))
    assert path.stat().st_size < 2**14
    assert reason_of(path) is FileReason.UNREADABLE


def test_damaged_header_values_are_absent(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(dicom_bytes(PatientID="x", NumberOfFrames=1).replace(b"1.2.3\x00", b"\xff\xff\xff\xff\xff\xff"))
    dataset = open_dicom(path)
    assert header_integer(dataset, "PatientID") is None
    assert header_value(dataset, "WindowCenter") is None
    assert header_integer(dataset, "NumberOfFrames") == 1


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless])
def test_no_damage_lets_another_error_out(tmp_path, syntax):
    whole = bytearray(dicom_bytes(syntax=syntax))
    draw = random.Random(7)
    path = tmp_path / "mutated.dcm"
    outcomes = set()
    for _ in range(250):
        mutated = bytearray(whole)
        for _ in range(draw.randint(1, 8)):
            mutated[draw.randrange(128, 128 + 500)] = draw.randrange(256)
        path.write_bytes(bytes(mutated[: draw.randrange(140, len(mutated))] if draw.random() < 0.3 else mutated))
        try:
            dataset = open_dicom(path)
            has_two_levels(dataset, path)
            stored_pixels(dataset)
            outcomes.add("read")
        except ExcludedCase as error:
            outcomes.add(error.reason)
    assert {"read", FileReason.TRUNCATED, FileReason.NOT_DICOM} <= outcomes


@pytest.mark.parametrize(
    "name", ["../outside.dcm", "a/../../outside.dcm", "/etc/hostname", "C:/x.dcm", "..\\outside.dcm"]
)
def test_a_path_that_climbs_out_is_refused(tmp_path, name):
    (tmp_path / "outside.dcm").write_bytes(b"x")
    (tmp_path / "study" / "a").mkdir(parents=True)
    with pytest.raises(ExcludedCase) as error:
        safe_path(tmp_path / "study", name)
    assert error.value.reason is FileReason.OUTSIDE_STUDY


def test_links_of_the_study_are_followed(tmp_path):
    study, disk = tmp_path / "study", tmp_path / "disk"
    (study / "films").mkdir(parents=True)
    disk.mkdir()
    (study / "films" / "a.dcm").write_bytes(b"x")
    (disk / "far.dcm").write_bytes(b"y")
    (study / "inside.dcm").symlink_to("films/a.dcm")
    (study / "outside.dcm").symlink_to(disk / "far.dcm")
    (study / "elsewhere").symlink_to(disk)
    (tmp_path / "link").symlink_to(study)
    assert safe_path(study, "inside.dcm") == study / "inside.dcm"
    assert safe_path(tmp_path / "link", "films\\a.dcm").read_bytes() == b"x"
    assert safe_path(study, "outside.dcm").read_bytes() == b"y"
    assert safe_path(study, "elsewhere/far.dcm").read_bytes() == b"y"


@pytest.mark.parametrize("name", ["elsewhere/../secret.dcm", "films/../elsewhere/../../secret.dcm"])
def test_two_dots_behind_a_link_do_not_leave_the_study(tmp_path, name):
    """On the disk `elsewhere/..` is the folder above the link's target; in the text it is the study folder."""
    study, disk = tmp_path / "study", tmp_path / "outer" / "disk"
    (study / "films").mkdir(parents=True)
    disk.mkdir(parents=True)
    (tmp_path / "outer" / "secret.dcm").write_bytes(b"secret")
    (tmp_path / "secret.dcm").write_bytes(b"secret")
    (study / "elsewhere").symlink_to(disk)
    with pytest.raises(ExcludedCase) as error:
        safe_path(study, name)
    assert error.value.reason in (FileReason.MISSING_FILE, FileReason.OUTSIDE_STUDY)


def test_absolute_paths_inside_the_study_are_relative_ones(tmp_path):
    study = tmp_path / "study"
    (study / "films").mkdir(parents=True)
    (study / "films" / "a.dcm").write_bytes(b"x")
    (tmp_path / "link").symlink_to(study)
    (tmp_path / "studyx").mkdir()
    (tmp_path / "studyx" / "a.dcm").write_bytes(b"x")
    for folder, name in [
        (study, f"{study}/films/a.dcm"),
        (study, f"{study}/films/../films//a.dcm"),
        (study, f"{tmp_path}/link/films/a.dcm"),
        (tmp_path / "link", f"{study}/films/a.dcm"),
        (tmp_path / "link", f"{tmp_path}/link/films/a.dcm"),
    ]:
        assert study_name(folder, name) == "films/a.dcm"
        assert safe_path(folder, name).read_bytes() == b"x"
    for name in (f"{tmp_path}/studyx/a.dcm", f"{study}/../studyx/a.dcm", f"{study}/films/../../studyx/a.dcm"):
        with pytest.raises(ExcludedCase) as error:
            safe_path(study, name)
        assert error.value.reason is FileReason.OUTSIDE_STUDY


def test_links_that_lead_nowhere_are_missing_and_named(tmp_path):
    (tmp_path / "loop.dcm").symlink_to("loop.dcm")
    (tmp_path / "annex.dcm").symlink_to("../.git/annex/objects/Xx/none.dcm")
    (tmp_path / "folder").symlink_to("/nowhere/at/all")
    for name, words in [
        ("loop.dcm", "leads back to itself"),
        ("annex.dcm", "git annex"),
        ("folder/a.dcm", "'/nowhere/at/all', which does not exist"),
    ]:
        with pytest.raises(ExcludedCase, match=words) as error:
            safe_path(tmp_path, name)
        assert error.value.reason is FileReason.MISSING_FILE
        with pytest.raises(ExcludedCase, match=words):
            open_dicom(tmp_path / name)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EACCES, FileReason.NO_ACCESS),
        (errno.EPERM, FileReason.NO_ACCESS),
        (errno.EIO, FileReason.NO_ACCESS),
        (errno.ESTALE, FileReason.NO_ACCESS),
        (errno.ENOTDIR, FileReason.MISSING_FILE),
    ],
)
def test_what_the_system_does_not_open_has_a_reason(tmp_path, monkeypatch, number, reason):
    path = tmp_path / "a.dcm"
    path.write_bytes(dicom_bytes())

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, "no")

    for place in ("stat", "open"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, place, fail)
            assert reason_of(path) is reason


@pytest.mark.parametrize("name", ["", ".", "films", "nothing.dcm", "x" * 5000, "a\x00b"])
def test_what_is_not_there_is_missing_or_refused(tmp_path, name):
    (tmp_path / "films").mkdir()
    with pytest.raises(ExcludedCase) as error:
        safe_path(tmp_path, name)
    assert error.value.reason in (FileReason.MISSING_FILE, FileReason.OUTSIDE_STUDY)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("nested", [False, True])
def test_dark_pixels_taken_for_a_header_end_the_reading(tmp_path, syntax, nested):
    whole = pydicom.dcmread(io.BytesIO(dicom_bytes()))
    item = pydicom.Dataset()
    item.PatientComments = "x"
    whole.ReferencedImageSequence = [item]
    whole["ReferencedImageSequence"].is_undefined_length = item.is_undefined_length_sequence_item = True
    whole.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax != ImplicitVRLittleEndian else syntax
    buffer = io.BytesIO()
    whole.save_as(buffer, enforce_file_format=True, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    data = buffer.getvalue()
    tag = b"\x10\x00\x00\x40" if nested else b"\x28\x00\x02\x00"
    place = data.index(tag)
    data = data[:place] + bytes(2_000_000) + data[place:]
    if syntax == DeflatedExplicitVRLittleEndian:
        start = 144 + int.from_bytes(data[140:144], "little")
        deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        meta = data[:start].replace(b"1.2.840.10008.1.2.1\x00", b"1.2.840.10008.1.2.1.99")
        size = int.from_bytes(meta[140:144], "little") + 2
        uid = meta.index(b"1.2.840.10008.1.2.1.99")
        meta = meta[:140] + size.to_bytes(4, "little") + meta[144 : uid - 2] + b"\x16\x00" + meta[uid:]
        data = meta + deflate.compress(data[start:]) + deflate.flush()
    path = tmp_path / "endless.dcm"
    path.write_bytes(data)
    with pytest.raises(ExcludedCase, match="more than 50000 elements"):
        open_dicom(path)


def test_a_transfer_syntax_of_several_values_is_refused(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(
        dicom_bytes(syntax=ExplicitVRLittleEndian).replace(b"1.2.840.10008.1.2.1\x00", b"1.2\\840.10008.1.2.1\x00")
    )
    assert reason_of(path) is FileReason.TRANSFER_SYNTAX


def test_a_decoder_that_panics_costs_the_file_only(tmp_path, monkeypatch):
    class PanicError(BaseException):
        pass

    def panic(*_: object, **__: object) -> None:
        raise PanicError

    path = tmp_path / "a.dcm"
    path.write_bytes(dicom_bytes())
    dataset = open_dicom(path)
    monkeypatch.setattr("mammoflow.formats.pixels.pixel_array", panic)
    with pytest.raises(ExcludedCase, match="PanicError"):
        stored_pixels(dataset)
