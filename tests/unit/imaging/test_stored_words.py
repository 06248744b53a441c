"""Headers that contradict their pixels: values above Bits Stored, a wrong High Bit, a wrong sign, too many pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from mammoflow.errors import ExcludedCase
from mammoflow.imaging.film import Film, read_film
from mammoflow.imaging.roi_mask import read_roi_mask
from mammoflow.reasons.files import FileReason

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
WHITE = 65535
Read = Callable[..., Film]


@pytest.fixture
def read(write_dicom: Callable[..., Path], tmp_path: Path) -> Read:
    return lambda pixels, **header: read_film(write_dicom(tmp_path / "film.dcm", pixels, **header))


def full_range(values: np.ndarray, bits: int = 12) -> np.ndarray:
    return np.rint(values * (WHITE / (2**bits - 1)))


def reason_of(read: Read, pixels: np.ndarray, **header: Any) -> FileReason:
    with pytest.raises(ExcludedCase) as problem:
        read(pixels, **header)
    return problem.value.reason


def test_a_header_that_fits_its_pixels_has_no_conflict(read: Read) -> None:
    signed = (RAMP.astype(np.int16) - 2048).view(np.uint16)
    for pixels, header in (
        (RAMP, {"BitsStored": 12}),
        (RAMP << 4, {"BitsStored": 12, "HighBit": 15}),
        (RAMP * 16, {}),
        (signed, {"BitsStored": 12, "PixelRepresentation": 1}),
        (signed & 0xFFF, {"BitsStored": 12, "PixelRepresentation": 1}),
    ):
        film = read(pixels, **header)
        np.testing.assert_array_equal(film.pixels, full_range(RAMP) if header else RAMP * 16)
        assert not film.pixels_conflict


@pytest.mark.parametrize("above", [4096, 5000, 65535])
def test_a_few_values_above_bits_stored_are_white_and_marked(read: Read, above: int) -> None:
    """A label that is burnt in with all bits set must not become black, as its lower bits alone may be."""
    pixels = RAMP.copy()
    pixels[5, 5:9] = above
    film = read(pixels, BitsStored=12)
    expected = full_range(RAMP)
    expected[5, 5:9] = WHITE
    np.testing.assert_array_equal(film.pixels, expected)
    assert film.pixels_conflict


def test_signed_values_beyond_bits_stored_go_to_the_nearer_end(read: Read) -> None:
    pixels = RAMP.astype(np.int16) - 2048
    pixels[5, 5], pixels[5, 6] = 3000, -3000
    film = read(pixels, BitsStored=12)
    expected = full_range(RAMP)
    expected[5, 5], expected[5, 6] = WHITE, 0
    np.testing.assert_array_equal(film.pixels, expected)
    assert film.pixels_conflict


@pytest.mark.parametrize("bits", [8, 10, 11])
def test_many_values_above_bits_stored_exclude(read: Read, bits: int) -> None:
    assert reason_of(read, RAMP, BitsStored=bits) == FileReason.UNREADABLE


def test_bits_of_an_overlay_above_the_value_are_left_out(dicom: Callable[..., Dataset], tmp_path: Path) -> None:
    overlay = (np.random.default_rng(0).random(RAMP.shape) > 0.5).astype(np.uint16) << 15
    dataset = dicom(RAMP | overlay, BitsStored=12)
    dataset.add_new(0x60000102, "US", 15)
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    film = read_film(tmp_path / "a.dcm")
    np.testing.assert_array_equal(film.pixels, full_range(RAMP))
    assert not film.pixels_conflict


def test_a_mask_above_bits_stored_stays_a_mask(write_dicom: Callable[..., Path], tmp_path: Path) -> None:
    mask = RAMP % 64 < 20
    path = write_dicom(tmp_path / "m.dcm", mask.astype(np.uint8) * np.uint8(255), BitsStored=1)
    np.testing.assert_array_equal(read_roi_mask(path), mask)


@pytest.mark.parametrize("high_bit", [12, 13, 15])
def test_a_high_bit_that_the_values_do_not_reach_is_not_used(read: Read, high_bit: int) -> None:
    film = read(RAMP, BitsStored=12, HighBit=high_bit)
    np.testing.assert_array_equal(film.pixels, full_range(RAMP))
    assert film.pixels_conflict


@pytest.mark.parametrize("missing", ["BitsStored", "PixelRepresentation", "PhotometricInterpretation"])
def test_an_element_without_which_pixels_mean_nothing_is_named(
    dicom: Callable[..., Dataset], tmp_path: Path, missing: str
) -> None:
    dataset = dicom(RAMP, BitsStored=12)
    delattr(dataset, missing)
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(ExcludedCase, match=missing):
        read_film(tmp_path / "a.dcm")


def test_a_sign_that_the_pixels_contradict_is_marked(read: Read) -> None:
    noise = np.random.default_rng(0).integers(-40, 40, (64, 64))
    around_zero = (np.linspace(-300, 3000, 4096).reshape(64, 64) + noise).astype(np.int16)
    assert read(around_zero.view(np.uint16)).pixels_conflict
    bright = (np.linspace(0, 60000, 4096).reshape(64, 64) + 500 + 10 * noise).astype(np.uint16)
    assert read(bright.view(np.int16)).pixels_conflict
    assert not read(bright).pixels_conflict
    assert not read(around_zero).pixels_conflict


def test_a_white_label_on_a_dark_film_is_no_sign(read: Read) -> None:
    film = RAMP // 2
    film[3:9, 3:40:2] = 65535
    assert not read(film).pixels_conflict
    padded = np.where(RAMP < 1000, -32768, RAMP.astype(np.int32)).astype(np.int16)
    assert not read(padded).pixels_conflict


def test_more_pixel_data_than_the_image_needs(dicom: Callable[..., Dataset], tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    for extra, conflict in ((2, True), (2000, True), (0, False)):
        dataset = dicom(RAMP, BitsStored=12)
        dataset.PixelData = RAMP.tobytes() + bytes(extra)
        dataset.save_as(path, enforce_file_format=True)
        film = read_film(path)
        np.testing.assert_array_equal(film.pixels, full_range(RAMP))
        assert film.pixels_conflict == conflict
    dataset.PixelData = RAMP.tobytes() * 3  # frames that Number of Frames does not count
    dataset.save_as(path, enforce_file_format=True)
    with pytest.raises(ExcludedCase, match="3 frames"):
        read_film(path)


def test_pixels_that_are_not_stored_as_the_transfer_syntax_says(dicom: Callable[..., Dataset], tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    dataset = dicom(RAMP, BitsStored=12)
    dataset.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    assert content.count(ExplicitVRLittleEndian.encode() + b"\0") == 1
    path.write_bytes(content.replace(ExplicitVRLittleEndian.encode() + b"\0", b"1.2.840.10008.1.2.5\0"))
    assert RLELossless == "1.2.840.10008.1.2.5"
    with pytest.raises(ExcludedCase, match="says compressed pixels") as problem:
        read_film(path)
    assert problem.value.reason == FileReason.UNREADABLE


@pytest.mark.parametrize("stated", [0, 1])
@pytest.mark.parametrize("true", [0, 1])
def test_a_wrong_planar_configuration_of_a_smooth_picture(
    dicom: Callable[..., Dataset], tmp_path: Path, stated: int, true: int
) -> None:
    smooth = (np.arange(60 * 90) // 30).reshape(60, 90).astype(np.uint8)
    dataset = dicom(smooth, PhotometricInterpretation="RGB", SamplesPerPixel=3, PlanarConfiguration=stated)
    dataset.PixelData = np.stack([smooth] * 3, axis=0 if true else -1).tobytes()
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    film = read_film(tmp_path / "a.dcm")
    np.testing.assert_array_equal(film.pixels, smooth * np.uint16(257))
    assert film.pixels_conflict == (stated != true)


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize("word", ["monochrome1", "Monochrome1 ", " MONOCHROME1", "MonoChrome1"])
def test_code_strings_in_any_case_and_with_blanks(read: Read, word: str) -> None:
    inverted = full_range(4095 - RAMP.astype(int))
    film = read(RAMP, BitsStored=12, PhotometricInterpretation=word)
    np.testing.assert_array_equal(film.pixels, inverted)
    assert not film.header.photometric_conflict
    film = read(RAMP, BitsStored=12, PresentationLUTShape="inverse", PresentationIntentType=" for processing")
    np.testing.assert_array_equal(film.pixels, inverted)
    assert film.header.photometric_conflict
    assert film.header.intent == "processing"


@pytest.mark.parametrize("slope", ["0", "0.0", "nan", "inf", "1e400", "1,5", "x"])
def test_a_slope_that_is_none_counts_as_one_and_is_marked(
    dicom: Callable[..., Dataset], tmp_path: Path, slope: str
) -> None:
    dataset = dicom(RAMP, BitsStored=12, RescaleSlope="7.5", RescaleIntercept="0")
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert not read_film(tmp_path / "a.dcm").header.rescale_unusable
    content = (tmp_path / "a.dcm").read_bytes()
    stored = b"DS\x04\x007.5 "
    assert content.count(stored) == 1
    text = slope.encode() + b" " * (len(slope) % 2)
    (tmp_path / "a.dcm").write_bytes(content.replace(stored, b"DS" + len(text).to_bytes(2, "little") + text))
    film = read_film(tmp_path / "a.dcm")
    np.testing.assert_array_equal(film.pixels, full_range(RAMP))
    assert film.header.rescale_unusable


def smooth(rows: int, columns: int, bits: int = 12) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns]
    wave = np.sin(x / 17) * np.cos(y / 23) + 0.3 * np.sin((x + 2 * y) / 9)
    noise = np.random.default_rng(0).normal(0, 0.01, wave.shape)
    levels = np.clip((wave + noise + 1.5) / 3, 0, 1) * (2**bits - 1)
    return levels.astype(np.uint16)


@pytest.mark.parametrize(
    ("pixels", "header"),
    [
        (smooth(96, 128, 16).byteswap(), {}),
        (smooth(128, 128, 16).byteswap(), {}),
        (smooth(96, 128).reshape(128, 96), {"BitsStored": 12}),
        (smooth(160, 100).reshape(100, 160), {"BitsStored": 12}),
    ],
)
def test_pixels_in_another_order_are_marked(read: Read, pixels: np.ndarray, header: dict[str, int]) -> None:
    assert read(pixels, **header).pixels_conflict


@pytest.mark.parametrize("shape", [(96, 128), (160, 100), (128, 128)])
def test_pixels_in_order_have_no_conflict(read: Read, shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0).integers(0, 4096, shape, dtype=np.uint16)
    stripes = np.broadcast_to(np.arange(shape[1], dtype=np.uint16) % 7 * 500, shape).copy()
    for pixels in (smooth(*shape), random, stripes, stripes // 100, np.full(shape, 7, dtype=np.uint16)):
        assert not read(pixels, BitsStored=12).pixels_conflict
    two_levels = np.zeros(shape, dtype=np.uint16)
    two_levels[20:40, 30:60] = 4095
    assert not read(two_levels, BitsStored=12).pixels_conflict
