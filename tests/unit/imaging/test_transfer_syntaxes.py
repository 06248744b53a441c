"""Each transfer syntax, from an encoder to grey levels: the same to the bit, or as a reference decoder has it."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from openjpeg.utils import encode_array
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import pixel_array
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.pixels import stored_pixels
from mammoflow.imaging.film import read_film
from mammoflow.reasons.files import FileReason

GOLDEN = Path(__file__).parents[2] / "golden" / "htj2k"
NATIVE = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
ENCAPSULATED = [RLELossless, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless]
DEPTHS = [(bits, signed) for bits in (8, 10, 12, 14, 16) for signed in (False, True)]
GDCM_SYNTAX = {
    JPEGLossless: gdcm.TransferSyntax.JPEGLosslessProcess14,
    JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
}
Make = Callable[..., Dataset]


def values(bits: int, signed: bool) -> np.ndarray:
    """An image of 70 x 65 with the lowest and highest values of its depth, smooth tissue, and grain."""
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    rows, columns = np.ogrid[:70, :65]
    grain = np.random.default_rng(bits).normal(0, (high - low) / 60, (70, 65))
    picture = np.clip(low + (high - low) * (rows + columns) / 133 + grain, low, high).round()
    picture[0, :2] = low, high
    return picture.astype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")


def wedge(bits: int, signed: bool) -> np.ndarray:
    """A picture of 24 x 20 that rises row by row over the whole depth."""
    low = -(2 ** (bits - 1)) if signed else 0
    rows, columns = np.ogrid[:24, :20]
    picture = low + (rows * 20 + columns) * (2**bits - 1) // 479
    return picture.astype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")


def expected_grey(stored: np.ndarray, bits: int, signed: bool) -> np.ndarray:
    """Grey levels by the rule of the documentation, in exact integers: halves do not occur, 2 ** bits - 1 is odd."""
    level = stored.astype(object) + (2 ** (bits - 1) if signed else 0)
    top = 2**bits - 1
    return ((2 * level * 65535 + top) // (2 * top)).astype(np.uint16)


def save(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def encapsulated(dataset: Dataset, frame: bytes, syntax: str) -> Dataset:
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def native(dataset: Dataset, syntax: str) -> Dataset:
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian and dataset.BitsAllocated == 16:
        dataset.PixelData = np.frombuffer(dataset.PixelData, dtype="<u2").astype(">u2").tobytes()
    return dataset


def by_gdcm(dataset: Dataset, syntax: str, path: Path) -> Path:
    """Let GDCM compress with JPEG."""
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(save(dataset, path.with_suffix(".plain"))))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(GDCM_SYNTAX[syntax]))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    return path


def by_dcmtk(dataset: Dataset, path: Path, *options: str) -> Path:
    """Let DCMTK compress with JPEG; skip where it is not installed."""
    if shutil.which("dcmcjpeg") is None:
        pytest.skip("dcmcjpeg of DCMTK is not installed")
    plain = save(dataset, path.with_suffix(".plain"))
    subprocess.run(["dcmcjpeg", *options, str(plain), str(path)], check=True, capture_output=True)
    return path


def encode(dataset: Dataset, stored: np.ndarray, bits: int, syntax: str, path: Path) -> Path:
    if syntax in NATIVE:
        return save(native(dataset, syntax), path)
    if syntax in GDCM_SYNTAX:
        return by_gdcm(dataset, syntax, path)
    if syntax == JPEG2000Lossless:
        return save(encapsulated(dataset, encode_array(stored, bits_stored=bits), syntax), path)
    dataset.compress(syntax)
    return save(dataset, path)


@pytest.mark.parametrize(("bits", "signed"), DEPTHS)
@pytest.mark.parametrize("syntax", NATIVE + ENCAPSULATED, ids=lambda syntax: syntax.keyword)
def test_lossless_syntaxes_come_back_to_the_bit(
    dicom: Make, tmp_path: Path, syntax: pydicom.uid.UID, bits: int, signed: bool
) -> None:
    stored = values(bits, signed)
    path = encode(dicom(stored, BitsStored=bits), stored, bits, syntax, tmp_path / "a.dcm")
    np.testing.assert_array_equal(stored_pixels(open_dicom(path)), stored)
    film = read_film(path)
    np.testing.assert_array_equal(film.pixels, expected_grey(stored, bits, signed))
    assert not film.header.lossy


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("options", [("+e1",), ("+el", "+sv", "1"), ("+el", "+sv", "4"), ("+el", "+sv", "7")], ids=str)
def test_jpeg_lossless_of_another_encoder(dicom: Make, tmp_path: Path, options: tuple[str, ...], bits: int) -> None:
    stored = values(bits, False)
    path = by_dcmtk(dicom(stored, BitsStored=bits), tmp_path / "a.dcm", *options)
    np.testing.assert_array_equal(read_film(path).pixels, expected_grey(stored, bits, False))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("error", [1, 3])
def test_jpeg_ls_near_lossless_keeps_its_promise(dicom: Make, tmp_path: Path, bits: int, error: int) -> None:
    stored = values(bits, False)
    dataset = dicom(stored, BitsStored=bits)
    dataset.compress(JPEGLSNearLossless, jls_error=error)
    path = save(dataset, tmp_path / "a.dcm")
    read = stored_pixels(open_dicom(path))
    difference = np.abs(read.astype(int) - stored).max()
    assert 0 < difference <= error
    np.testing.assert_array_equal(read, pixel_array(path, decoding_plugin="pyjpegls"))
    film = read_film(path)
    np.testing.assert_array_equal(film.pixels, expected_grey(read, bits, False))
    assert film.header.lossy


@pytest.mark.parametrize(("bits", "signed"), DEPTHS)
def test_lossy_jpeg_2000_is_as_pillow_decodes_it(dicom: Make, tmp_path: Path, bits: int, signed: bool) -> None:
    stored = values(bits, signed)
    frame = encode_array(stored, bits_stored=bits, compression_ratios=[3.0])
    path = save(encapsulated(dicom(stored, BitsStored=bits), frame, JPEG2000), tmp_path / "a.dcm")
    read = stored_pixels(open_dicom(path))
    assert 0 < np.abs(read.astype(int) - stored).max() < 2**bits / 20
    np.testing.assert_array_equal(read, pixel_array(path, decoding_plugin="pillow"))
    np.testing.assert_array_equal(read_film(path).pixels, expected_grey(read, bits, signed))


def test_jpeg_2000_may_be_lossless_and_says_so(dicom: Make, tmp_path: Path) -> None:
    stored = values(12, False)
    dataset = encapsulated(dicom(stored, BitsStored=12), encode_array(stored, bits_stored=12), JPEG2000)
    assert read_film(save(dataset, tmp_path / "a.dcm")).header.lossy
    dataset.LossyImageCompression = "00"
    film = read_film(save(dataset, tmp_path / "b.dcm"))
    assert not film.header.lossy
    np.testing.assert_array_equal(film.pixels, expected_grey(stored, 12, False))


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit], ids=lambda syntax: syntax.keyword)
def test_jpeg_of_8_bit_is_as_pillow_decodes_it(dicom: Make, tmp_path: Path, syntax: str) -> None:
    stored = values(8, False)
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "JPEG", quality=90)
    path = save(encapsulated(dicom(stored), buffer.getvalue(), syntax), tmp_path / "a.dcm")
    film = read_film(path)
    np.testing.assert_array_equal(film.pixels, np.asarray(Image.open(buffer)) * np.uint16(257))
    assert film.header.lossy


def test_jpeg_extended_of_12_bit(dicom: Make, tmp_path: Path) -> None:
    stored = values(12, False)
    path = by_dcmtk(dicom(stored, BitsStored=12), tmp_path / "a.dcm", "+ee", "+q", "95")
    read = stored_pixels(open_dicom(path))
    assert 0 < np.abs(read.astype(int) - stored).max() < 60
    subprocess.run(["dcmdjpeg", str(path), str(tmp_path / "back.dcm")], check=True, capture_output=True)
    reference = pydicom.dcmread(tmp_path / "back.dcm")
    np.testing.assert_array_equal(read, np.frombuffer(reference.PixelData, dtype="<u2").reshape(70, 65))
    np.testing.assert_array_equal(read_film(path).pixels, expected_grey(read, 12, False))


@pytest.mark.parametrize("syntax", [HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K], ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize(
    ("name", "bits", "signed"), [("uint8", 8, 0), ("uint12", 12, 0), ("uint16", 16, 0), ("int16", 16, 1)]
)
def test_htj2k(dicom: Make, tmp_path: Path, syntax: str, name: str, bits: int, signed: int) -> None:
    stored = wedge(bits, bool(signed))
    frame = (GOLDEN / f"{name}.j2c").read_bytes()
    path = save(encapsulated(dicom(stored, BitsStored=bits), frame, syntax), tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_film(path).pixels, expected_grey(stored, bits, bool(signed)))


def test_lossy_htj2k_is_as_its_encoder_decodes_it(dicom: Make, tmp_path: Path) -> None:
    frame = (GOLDEN / "uint12_lossy.j2c").read_bytes()
    path = save(encapsulated(dicom(wedge(12, False), BitsStored=12), frame, HTJ2K), tmp_path / "a.dcm")
    reference = np.load(GOLDEN / "uint12_lossy.npy")
    # The irreversible wavelet is computed in floating point; decoders may round a value differently.
    np.testing.assert_allclose(stored_pixels(open_dicom(path)).astype(int), reference.astype(int), atol=1)


@pytest.mark.parametrize("fragments", [2, 5])
def test_a_frame_in_several_fragments(dicom: Make, tmp_path: Path, fragments: int) -> None:
    stored = values(12, False)
    dataset = dicom(stored, BitsStored=12)
    dataset.compress(JPEGLSLossless)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([frame], fragments_per_frame=fragments, has_bot=False)
    path = save(dataset, tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_film(path).pixels, expected_grey(stored, 12, False))


@pytest.mark.parametrize(
    "syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless, JPEGLossless], ids=lambda uid: uid.keyword
)
def test_a_damaged_codestream_is_excluded(dicom: Make, tmp_path: Path, syntax: str) -> None:
    stored = values(16, False)
    path = encode(dicom(stored), stored, 16, syntax, tmp_path / "a.dcm")
    frame = next(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1))
    save(encapsulated(dicom(stored), frame[:30] + bytes(len(frame) // 2), syntax), path)
    with pytest.raises(ExcludedCase) as problem:
        read_film(path)
    assert problem.value.reason == FileReason.UNREADABLE


def test_a_syntax_that_nobody_decodes_is_excluded(dicom: Make, tmp_path: Path) -> None:
    mpeg = "1.2.840.10008.1.2.4.100"
    path = save(encapsulated(dicom(values(8, False)), bytes(64), mpeg), tmp_path / "a.dcm")
    with pytest.raises(ExcludedCase) as problem:
        read_film(path)
    assert problem.value.reason == FileReason.TRANSFER_SYNTAX
    assert "MPEG2" in problem.value.detail
