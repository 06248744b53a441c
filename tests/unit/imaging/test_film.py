"""Films from every kind of file, and from broken ones."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import gdcm
import numpy as np
import pytest
import tifffile
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from mammoflow.errors import ExcludedCase, Reason
from mammoflow.imaging.film import Film, read_film
from mammoflow.imaging.film_header import FilmHeader
from mammoflow.imaging.spacing import Spacing
from mammoflow.reasons.files import FileReason

RANDOM = np.random.default_rng(3)
GREY16 = RANDOM.integers(0, 65536, (20, 30)).astype(np.uint16)
GREY8 = RANDOM.integers(0, 256, (20, 30)).astype(np.uint8)
GREY12 = (GREY16 >> 4).astype(np.uint16)


def reason_of(path: Path, read: Callable[[Path], object] = read_film) -> Reason:
    with pytest.raises(ExcludedCase) as problem:
        read(path)
    assert problem.value.detail
    return problem.value.reason


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_uncompressed_and_deflated(write_dicom: Callable[..., Path], tmp_path: Path, syntax: str) -> None:
    path = write_dicom(tmp_path / "a.dcm", GREY16, transfer_syntax=syntax, PixelSpacing=[0.05, 0.05])
    film = read_film(path)
    np.testing.assert_array_equal(film.pixels, GREY16)
    assert film.spacing == Spacing(0.05, 0.05, "pixel")


def test_big_endian(write_dicom: Callable[..., Path], tmp_path: Path) -> None:
    swapped = GREY16.byteswap()
    path = write_dicom(tmp_path / "a.dcm", swapped, transfer_syntax=ExplicitVRBigEndian)
    np.testing.assert_array_equal(read_film(path).pixels, GREY16)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
@pytest.mark.parametrize("pixels", [GREY8, GREY16], ids=["8 bit", "16 bit"])
def test_rle_and_jpeg_ls(dicom: Callable[..., Dataset], tmp_path: Path, syntax: str, pixels: np.ndarray) -> None:
    dataset = dicom(pixels)
    dataset.compress(syntax)
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    expected = pixels if pixels.dtype == np.uint16 else pixels * np.uint16(257)
    np.testing.assert_array_equal(read_film(tmp_path / "a.dcm").pixels, expected)


@pytest.mark.parametrize(
    "kind", [gdcm.TransferSyntax.JPEGLosslessProcess14_1, gdcm.TransferSyntax.JPEG2000Lossless], ids=["jpeg", "j2k"]
)
@pytest.mark.parametrize(("pixels", "bits"), [(GREY8, 8), (GREY12, 12), (GREY16, 16)], ids=["8", "12", "16"])
def test_jpeg_lossless_and_jpeg_2000(
    write_dicom: Callable[..., Path], tmp_path: Path, kind: int, pixels: np.ndarray, bits: int
) -> None:
    source, target = write_dicom(tmp_path / "raw.dcm", pixels, BitsStored=bits), tmp_path / "packed.dcm"
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(kind))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    np.testing.assert_array_equal(read_film(target).pixels, np.rint(pixels * (65535 / (2**bits - 1))))


def test_jpeg_baseline_in_dicom(dicom: Callable[..., Dataset], tmp_path: Path) -> None:
    smooth = np.tile(np.arange(0, 240, 8, dtype=np.uint8), (20, 1))
    dataset = dicom(smooth, transfer_syntax=JPEGBaseline8Bit)
    _, coded = cv2.imencode(".jpg", smooth, [cv2.IMWRITE_JPEG_QUALITY, 100])
    dataset.PixelData = encapsulate([coded.tobytes()])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_allclose(read_film(tmp_path / "a.dcm").pixels / 257, smooth, atol=2)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_pictures(tmp_path: Path, suffix: str) -> None:
    for pixels, expected in ((GREY8, GREY8 * 257.0), (GREY16, GREY16)):
        path = tmp_path / f"a{suffix}"
        cv2.imwrite(str(path), pixels)
        film = read_film(path)
        np.testing.assert_array_equal(film.pixels, expected)
        assert film.pixels.dtype == np.uint16
        assert film.spacing is None


def test_jpeg(tmp_path: Path) -> None:
    smooth = np.tile(np.arange(0, 240, 8, dtype=np.uint8), (20, 1))
    cv2.imwrite(str(tmp_path / "a.jpg"), smooth, [cv2.IMWRITE_JPEG_QUALITY, 100])
    np.testing.assert_allclose(read_film(tmp_path / "a.jpg").pixels / 257, smooth, atol=2)


@pytest.mark.parametrize("pixels", [GREY8, GREY16], ids=["8 bit", "16 bit"])
def test_tiff_where_zero_is_white(tmp_path: Path, pixels: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    scale = 257 if pixels.dtype == np.uint8 else 1
    np.testing.assert_array_equal(read_film(tmp_path / "a.tif").pixels, 65535 - pixels * float(scale))


def test_equal_colours_are_grey_and_others_are_not(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for pixels in (GREY8, GREY16):
        opaque = np.full_like(pixels, 128)
        for channels in ([pixels] * 3, [pixels] * 3 + [opaque]):
            cv2.imwrite(str(path), np.dstack(channels))
            expected = pixels if pixels.dtype == np.uint16 else pixels * np.uint16(257)
            np.testing.assert_array_equal(read_film(path).pixels, expected)
    cv2.imwrite(str(path), np.dstack([GREY8, GREY8, 255 - GREY8]))
    assert reason_of(path) == FileReason.NOT_GREY


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), GREY8)
    (tmp_path / "a.png").rename(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_film(tmp_path / "a.dcm").pixels, GREY8 * 257.0)


def test_missing_and_other_files(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "none.png") == FileReason.MISSING_FILE
    (tmp_path / "text.dcm").write_text("no picture at all " * 100)
    assert reason_of(tmp_path / "text.dcm") == FileReason.NOT_DICOM
    (tmp_path / "empty.png").touch()
    assert reason_of(tmp_path / "empty.png") == FileReason.TRUNCATED


@pytest.mark.parametrize(
    ("suffix", "reasons"),
    [
        (".png", {FileReason.TRUNCATED}),
        (".jpg", {FileReason.TRUNCATED}),
        (".tif", {FileReason.UNREADABLE, FileReason.TRUNCATED}),
        (".dcm", {FileReason.TRUNCATED}),
    ],
)
def test_truncated(tmp_path: Path, write_dicom: Callable[..., Path], suffix: str, reasons: set[Reason]) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".dcm":
        write_dicom(path, GREY16)
    else:
        cv2.imwrite(str(path), GREY8)
    whole = path.read_bytes()
    for share in (0.95, 0.6):
        path.write_bytes(whole[: int(share * len(whole))])
        assert reason_of(path) in reasons


def test_several_frames(tmp_path: Path, write_dicom: Callable[..., Path]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([GREY8, GREY8]), photometric="minisblack")
    assert reason_of(tmp_path / "a.tif") == FileReason.MULTI_FRAME
    assert reason_of(write_dicom(tmp_path / "a.dcm", GREY8, NumberOfFrames=2)) == FileReason.MULTI_FRAME


def test_a_small_file_that_claims_a_huge_picture(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 16, 0, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(100_000)))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))
    assert reason_of(tmp_path / "bomb.png") == FileReason.UNREADABLE


def test_floating_point_pixels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY8.astype(np.float32), photometric="minisblack")
    assert reason_of(tmp_path / "a.tif") == FileReason.UNREADABLE


def test_details_hold_nothing_of_the_header(tmp_path: Path, write_dicom: Callable[..., Path]) -> None:
    path = write_dicom(tmp_path / "a.dcm", GREY16, transfer_syntax=ImplicitVRLittleEndian, PatientComments="secret")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ExcludedCase) as problem:
        read_film(path)
    assert not any(word in problem.value.detail for word in ("Doe", "Jane", "1950", "secret"))


@pytest.mark.parametrize(("levels", "few"), [(2, True), (16, True), (17, False), (200, False)])
def test_a_film_of_few_grey_levels_is_told(levels: int, few: bool) -> None:
    pixels = (np.arange(600 * 300, dtype=np.uint32).reshape(600, 300) % levels * 300).astype(np.uint16)
    assert Film(pixels, FilmHeader()).has_few_levels is few
