"""A file is what its content says, whatever its name and preamble; formats that are not read are named."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from mammoflow.errors import ExcludedCase
from mammoflow.formats.file_kinds import FileKind, file_kind
from mammoflow.imaging.film import Film, read_film
from mammoflow.imaging.roi_mask import read_roi_mask
from mammoflow.reasons.files import FileReason

GREY = (np.arange(40 * 30, dtype=np.uint16) * 3).reshape(40, 30)
EXPECTED = np.rint(GREY * (65535 / 4095))


def dataset(syntax: str = ExplicitVRLittleEndian) -> pydicom.Dataset:
    made = pydicom.Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    made.ImagerPixelSpacing, made.ImageLaterality, made.ViewPosition = [0.1, 0.1], "L", "CC"
    made.Rows, made.Columns = GREY.shape
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    made.PixelData = (GREY.byteswap() if syntax == ExplicitVRBigEndian else GREY).tobytes()
    made["PixelData"].VR = "OW"
    return made


def content_of(made: pydicom.Dataset) -> bytes:
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def headless(syntax: str) -> bytes:
    """The elements of a file alone: no preamble, no file meta information."""
    buffer = io.BytesIO()
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    plain = dataset(syntax)
    del plain.file_meta
    plain.save_as(buffer, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
    return buffer.getvalue()


def assert_read_with_header(film: Film) -> None:
    np.testing.assert_array_equal(film.pixels, EXPECTED)
    assert film.spacing is not None
    assert (film.spacing.rows_mm, film.header.side.laterality, film.header.intent) == (0.1, "L", "presentation")


def refusal_of(path: Path, read: Callable[[Path], object] = read_film) -> ExcludedCase:
    with pytest.raises(ExcludedCase) as problem:
        read(path)
    assert path.name in problem.value.detail
    return problem.value


@pytest.mark.parametrize(
    "start", [b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"PK\x03\x04"]
)
@pytest.mark.parametrize("name", ["a.dcm", "a.tif", "a.png", "A.JPG", "a"])
def test_dicom_wins_over_any_preamble_and_name(tmp_path: Path, start: bytes, name: str) -> None:
    content = content_of(dataset())
    (tmp_path / name).write_bytes(start + content[len(start) :])
    assert_read_with_header(read_film(tmp_path / name))


def test_a_file_that_is_dicom_and_tiff_is_dicom(tmp_path: Path) -> None:
    """Some devices write a whole TIFF header into the preamble, whose strips are the pixels of the DICOM file."""
    made = dataset()
    made.PhotometricInterpretation = "MONOCHROME1"
    content = bytearray(content_of(made))
    place = content.index(GREY.tobytes())
    tags = [(256, 3, 30), (257, 3, 40), (258, 3, 16), (259, 3, 1), (262, 3, 0), (273, 4, place), (277, 3, 1)]
    tags += [(278, 4, 40), (279, 4, GREY.nbytes)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *(*tag[:2], 1, tag[2])) for tag in tags)
    trailing = struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, len(directory) + 4) + directory + bytes(4)
    content[:8] = b"II*\0" + struct.pack("<I", len(content) + 12)
    (tmp_path / "a.tif").write_bytes(bytes(content) + trailing)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), GREY)
    film = read_film(tmp_path / "a.tif")
    np.testing.assert_array_equal(film.pixels, np.rint((4095 - GREY.astype(int)) * (65535 / 4095)))
    assert film.spacing is not None


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_without_preamble_and_transfer_syntax(tmp_path: Path, syntax: str) -> None:
    for name in ("a.dcm", "1.2.840.9", "a.IMA"):
        (tmp_path / name).write_bytes(headless(syntax))
        film = read_film(tmp_path / name)
        assert_read_with_header(film)
        assert film.header.syntax_guessed


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_with_file_meta_information_but_without_preamble(tmp_path: Path, syntax: str) -> None:
    (tmp_path / "a.dcm").write_bytes(content_of(dataset(syntax))[132:])
    film = read_film(tmp_path / "a.dcm")
    assert_read_with_header(film)
    assert not film.header.syntax_guessed


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_with_preamble_but_without_transfer_syntax(tmp_path: Path, syntax: str) -> None:
    made = dataset(syntax)
    del made.file_meta.TransferSyntaxUID
    made.preamble = bytes(128)
    implicit = syntax == ImplicitVRLittleEndian
    made.save_as(tmp_path / "a.dcm", implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    film = read_film(tmp_path / "a.dcm")
    assert_read_with_header(film)
    assert film.header.syntax_guessed


def test_what_does_not_fit_a_guessed_transfer_syntax_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    packed = dataset()
    packed.compress(RLELossless)
    length = struct.unpack_from("<I", content_of(packed), 140)[0]
    path.write_bytes(content_of(packed)[144 + length :])
    problem = refusal_of(path)
    assert problem.reason is FileReason.TRANSFER_SYNTAX
    assert "names no transfer syntax, and its pixels are compressed" in problem.detail
    longer = dataset()
    longer.PixelData = GREY.tobytes() + bytes(10)
    path.write_bytes(content_of(longer)[144 + length :])
    assert refusal_of(path).reason in (FileReason.TRANSFER_SYNTAX, FileReason.NOT_DICOM)
    path.write_bytes(headless(ExplicitVRLittleEndian)[:-7])
    assert refusal_of(path).reason is FileReason.TRUNCATED
    path.write_bytes(content_of(dataset(DeflatedExplicitVRLittleEndian))[132:])
    assert "deflated" in refusal_of(path).detail


@pytest.mark.parametrize(
    ("syntax", "words"),
    [
        ("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile"),
        ("1.2.840.10008.1.2.4.110", "JPEG XL"),
        ("1.2.840.113619.5.2", "GE"),
        ("1.2.3.4.5.6", "private or unknown"),
        ("1.2.840.10008.5.1.4.1.1.7", "identifier of something else"),
    ],
)
def test_a_transfer_syntax_that_is_not_read_is_named(tmp_path: Path, syntax: str, words: str) -> None:
    made = dataset()
    del made.PixelData
    made.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    made.preamble = bytes(128)
    made.save_as(buffer, implicit_vr=False, little_endian=True, force_encoding=True, enforce_file_format=False)
    (tmp_path / "a.dcm").write_bytes(buffer.getvalue())
    problem = refusal_of(tmp_path / "a.dcm")
    assert problem.reason is FileReason.TRANSFER_SYNTAX
    assert words in problem.detail
    assert "gdcmconv" in problem.detail


@pytest.mark.parametrize("name", ["a.dcm", "a", "A.DICOM", "a.tif", "a.jpeg"])
def test_pictures_with_any_name(tmp_path: Path, name: str) -> None:
    _, content = cv2.imencode(".png", GREY)
    (tmp_path / name).write_bytes(content.tobytes())
    np.testing.assert_array_equal(read_film(tmp_path / name).pixels, GREY)
    lesion = GREY.max() // 2 < GREY
    (tmp_path / name).write_bytes(cv2.imencode(".png", lesion.astype(np.uint8) * 255)[1].tobytes())
    np.testing.assert_array_equal(read_roi_mask(tmp_path / name), lesion)


def picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray((GREY // 16).astype(np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.dcm", "x")
    return buffer.getvalue()


def numpy_file() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, GREY)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (picture("GIF"), "GIF"),
        (picture("WEBP"), "WebP"),
        (picture("JPEG2000"), "JPEG 2000"),
        (b"\xff\x4f\xff\x51" + bytes(80), "JPEG 2000"),
        (picture("AVIF"), "AVIF"),
        (b"\0\0\0\x18ftypheic" + bytes(80), "HEIC"),
        (b"\0\0\0\x18ftypisom" + bytes(80), "video"),
        (b"\xff\x0a" + bytes(80), "JPEG XL"),
        (picture("PPM"), "portable pixel map"),
        (struct.pack("<i", 348) + bytes(340) + b"n+1\0" + bytes(100), "NIfTI"),
        (struct.pack(">i", 348) + bytes(340) + b"ni1\0" + bytes(100), "NIfTI"),
        (b"NRRD0004\ntype: short\n", "NRRD"),
        (b"ObjectType = Image\nNDims = 2\n", "MetaImage"),
        (b"NDims = 2\n", "MetaImage"),
        (numpy_file(), "NumPy"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5"),
        (b"%PDF-1.7\n", "PDF"),
        (zipped(), "ZIP"),
        (gzip.compress(content_of(dataset())), "gzip"),
        (b"\n<!DOCTYPE html>\n<html><body>404 Not Found</body></html>", "HTML"),
        (b"\xef\xbb\xbf<HTML><head>Login</head></HTML>", "HTML"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b'{"error": "forbidden"}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git LFS"),
        (b"/annex/objects/MD5E-s123--abc.dcm\n", "git-annex"),
        (b"../.git/annex/objects/Xx/Yy/MD5E-s123--abc.dcm/MD5E-s123--abc.dcm", "git-annex"),
        (b"\r\n--x\r\nContent-Type: application/dicom\r\n\r\n" + bytes(200), "DICOMweb"),
        (b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X", "AppleDouble"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(80), "Thumbs.db"),
    ],
)
def test_a_format_that_is_not_read_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    for name in ("a.dcm", "a.png"):
        (tmp_path / name).write_bytes(content)
        for read in (read_film, read_roi_mask):
            problem = refusal_of(tmp_path / name, read)
            assert problem.reason is FileReason.FORMAT
            assert words in problem.detail


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (b"", FileReason.TRUNCATED, "empty"),
        (bytes(4000), FileReason.NOT_DICOM, "zero bytes"),
        (b"BMI,age\n27,50\n" * 90, FileReason.NOT_DICOM, "text"),
        ("Überweisung\r\n".encode("cp1252") * 90, FileReason.NOT_DICOM, "text"),
        (b"\x01\x02\x03\x04" * 300, FileReason.NOT_DICOM, "unknown format"),
        (b"x", FileReason.NOT_DICOM, "text"),
        (b"\x89PNG\r\n\x1a\n", FileReason.UNREADABLE, "header"),
        (b"II*\0", FileReason.UNREADABLE, "header"),
        (b"\xff\xd8\xff\xe0", FileReason.UNREADABLE, "header"),
        (bytes(128) + b"DICM", FileReason.TRUNCATED, "ends"),
    ],
)
def test_damaged_and_unknown_content(tmp_path: Path, content: bytes, reason: FileReason, words: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    problem = refusal_of(tmp_path / "a.png")
    assert (problem.reason, words in problem.detail) == (reason, True)


def test_what_is_no_file_has_a_reason(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    for name, words in (("folder", "is a folder"), ("loop", "back to itself"), ("none", "does not exist")):
        problem = refusal_of(tmp_path / name, file_kind)
        assert (problem.reason, words in problem.detail) == (FileReason.MISSING_FILE, True)


@pytest.mark.parametrize(("wanted", "there"), [("A.png", "a.PNG"), ("Gr\u00fcn.png", "Gru\u0308n.png")])
def test_another_spelling_of_a_missing_file_is_named(tmp_path: Path, wanted: str, there: str) -> None:
    (tmp_path / there).write_bytes(b"x")
    problem = refusal_of(tmp_path / wanted)
    assert problem.reason is FileReason.MISSING_FILE
    assert repr(there) in problem.detail


def test_kinds_that_are_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "big", GREY, bigtiff=True)
    (tmp_path / "jpeg").write_bytes(picture("JPEG"))
    assert file_kind(tmp_path / "big") is FileKind.TIFF
    assert file_kind(tmp_path / "jpeg") is FileKind.JPEG


def tiff(**options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, GREY, photometric="minisblack", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        headless(ExplicitVRLittleEndian),
        headless(ImplicitVRLittleEndian),
        tiff(extratags=[(274, 3, 1, 6, False)]),
        tiff(bigtiff=True, compression="deflate"),
        picture("PNG"),
        picture("JPEG"),
    ],
    ids=["explicit", "implicit", "turned tiff", "big tiff", "png", "jpeg"],
)
def test_no_damage_lets_another_error_out(tmp_path: Path, content: bytes) -> None:
    draw = random.Random(3)
    path = tmp_path / "a"
    excluded = 0
    for _ in range(40):
        damaged = bytearray(content)
        for _ in range(draw.randint(1, 6)):
            damaged[draw.randrange(min(len(damaged), 600))] = draw.randrange(256)
        path.write_bytes(bytes(damaged[: draw.randrange(8, len(damaged))] if draw.random() < 0.3 else damaged))
        for read in (read_film, read_roi_mask):
            try:
                read(path)
            except ExcludedCase:
                excluded += 1
    assert excluded
