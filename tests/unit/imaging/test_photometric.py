"""Photometric cases: how stored words become grey levels, held to formulas of the DICOM standard written out here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import (
    BreastTomosynthesisImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    RLELossless,
)

from mammoflow.config.images import ImagesSettings
from mammoflow.errors import ExcludedCase, Reason
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.imaging.film import Film, read_film
from mammoflow.imaging.voi import window_function
from mammoflow.reasons.files import FileReason

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
Read = Callable[..., Film]


def lut(values: Any, first: int, bits: int, explanation: str = "", dtype: str = "<u2") -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(values) % 65536, first, bits]
    item.LUTData = np.asarray(values).astype(dtype).tobytes()
    item["LUTData"].VR = "OW"
    item["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    if explanation:
        item.LUTExplanation = explanation
    return item


@pytest.fixture
def read(write_dicom: Callable[..., Path], tmp_path: Path) -> Read:
    """Write pixels with a header and read them as a film."""

    def write_and_read(pixels: np.ndarray, settings: dict[str, Any] | None = None, **header: Any) -> Film:
        path = write_dicom(tmp_path / "film.dcm", pixels, **header)
        return read_film(path, ImagesSettings(**(settings or {})))

    return write_and_read


def reason_of(read: Read, pixels: np.ndarray, **header: Any) -> Reason:
    with pytest.raises(ExcludedCase) as problem:
        read(pixels, **header)
    return problem.value.reason


def full_range(values: np.ndarray, bits: int = 12) -> np.ndarray:
    return np.rint(values * (65535 / (2**bits - 1)))


# Words to values


@pytest.mark.parametrize("high_bit", [11, 13, 15])
def test_values_that_do_not_end_at_the_lowest_bit(read: Read, high_bit: int) -> None:
    shift = high_bit - 11
    words = RAMP << shift | np.random.default_rng(0).integers(0, 2**shift, RAMP.shape).astype(np.uint16)
    np.testing.assert_array_equal(read(words, BitsStored=12, HighBit=high_bit).pixels, full_range(RAMP))
    signed = (((RAMP.astype(np.int64) - 2048) & 0xFFF) << shift).astype(np.uint16)
    film = read(signed, BitsStored=12, HighBit=high_bit, PixelRepresentation=1)
    np.testing.assert_array_equal(film.pixels, full_range(RAMP))


def test_a_high_bit_that_makes_no_sense_is_excluded(read: Read, dicom: Callable[..., Dataset], tmp_path: Path) -> None:
    assert reason_of(read, RAMP, BitsStored=12, HighBit=10) == FileReason.UNREADABLE
    assert reason_of(read, RAMP, BitsStored=12, HighBit=16) == FileReason.UNREADABLE
    compressed = dicom(RAMP, BitsStored=12)
    compressed.compress(RLELossless)
    compressed.HighBit = 15
    compressed.save_as(tmp_path / "rle.dcm", enforce_file_format=True)
    with pytest.raises(ExcludedCase):
        read_film(tmp_path / "rle.dcm")


# Photometric interpretation and presentation LUT shape


@pytest.mark.parametrize(
    ("photometric", "shape", "turned", "conflict"),
    [
        ("MONOCHROME2", None, False, False),
        ("MONOCHROME2", "IDENTITY", False, False),
        ("MONOCHROME2", "INVERSE", True, True),
        ("MONOCHROME1", None, True, False),
        ("MONOCHROME1", "INVERSE", True, False),
        ("MONOCHROME1", "IDENTITY", True, True),
    ],
)
def test_inversion(read: Read, photometric: str, shape: str | None, turned: bool, conflict: bool) -> None:
    header = {} if shape is None else {"PresentationLUTShape": shape}
    film = read(RAMP, BitsStored=12, PhotometricInterpretation=photometric, **header)
    np.testing.assert_array_equal(film.pixels, full_range(4095 - RAMP.astype(int) if turned else RAMP))
    assert film.header.photometric_conflict == conflict


def colour(pixels: np.ndarray, photometric: str) -> dict[str, Any]:
    return {"PhotometricInterpretation": photometric, "SamplesPerPixel": 3, "PlanarConfiguration": 0}


@pytest.mark.parametrize("planar", [0, 1])
def test_grey_pictures_stored_as_rgb_are_converted(dicom: Callable[..., Dataset], tmp_path: Path, planar: int) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    dataset = dicom(grey, **colour(grey, "RGB"))
    dataset.PlanarConfiguration = planar
    stacked = np.stack([grey, grey, np.minimum(grey, 254)], axis=0 if planar else -1)
    dataset.PixelData = stacked.tobytes()
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read_film(tmp_path / "a.dcm").pixels, grey * np.uint16(257))


def test_grey_pictures_stored_as_ybr_are_converted_and_colours_excluded(
    dicom: Callable[..., Dataset], tmp_path: Path
) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    even = np.full_like(grey, 128)
    for channels, photometric in (((grey, even, even), "YBR_FULL"), ((grey, grey, 255 - grey), "RGB")):
        dataset = dicom(grey, **colour(grey, photometric))
        dataset.PixelData = np.stack(channels, axis=-1).tobytes()
        dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        if photometric == "RGB":
            with pytest.raises(ExcludedCase) as problem:
                read_film(tmp_path / "a.dcm")
            assert problem.value.reason == FileReason.NOT_GREY
        else:
            np.testing.assert_allclose(read_film(tmp_path / "a.dcm").pixels, grey * 257.0, atol=257)


@pytest.mark.parametrize(
    "header",
    [
        {"PhotometricInterpretation": "PALETTE COLOR"},
        {"PhotometricInterpretation": "RGB"},
        {"SamplesPerPixel": 3},
        {"SamplesPerPixel": 4, "PhotometricInterpretation": "CMYK"},
        {"PhotometricInterpretation": "HSV"},
    ],
)
def test_palettes_and_contradictory_colours_are_excluded(read: Read, header: dict[str, Any]) -> None:
    assert reason_of(read, np.zeros((8, 8), dtype=np.uint8), **header) == FileReason.NOT_GREY


# Modality


def test_a_modality_lut_gives_levels_and_the_values_of_windows(read: Read) -> None:
    entries = (np.arange(4096) ** 2 // 4095).astype(np.uint16)
    header = {"BitsStored": 12, "ModalityLUTSequence": Sequence([lut(entries, 0, 12)])}
    np.testing.assert_array_equal(read(RAMP, **header).pixels, full_range(entries[RAMP]))
    windowed = read(RAMP, {"voi": "window"}, **header, WindowCenter="1000", WindowWidth="501")
    expected = np.clip((entries[RAMP] - 999.5) / 500 + 0.5, 0, 1) * 65535
    np.testing.assert_array_equal(windowed.pixels, np.rint(expected))


@pytest.mark.parametrize(("slope", "intercept"), [(2.5, -1000), (-1, 4095), (0.001, 7), (1, 0)])
def test_windows_refer_to_rescaled_values(read: Read, slope: float, intercept: float) -> None:
    center, width = slope * 2000 + intercept, abs(slope) * 1000 + 1
    film = read(
        RAMP,
        {"voi": "window"},
        BitsStored=12,
        RescaleSlope=str(slope),
        RescaleIntercept=str(intercept),
        WindowCenter=str(center),
        WindowWidth=str(width),
    )
    values = slope * RAMP.astype(np.float64) + intercept
    expected = np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 65535
    np.testing.assert_allclose(film.pixels, expected, atol=0.51)


@pytest.mark.parametrize("slope", ["0", "1e400", ""])
def test_a_slope_that_is_none_counts_as_one(read: Read, slope: str) -> None:
    np.testing.assert_array_equal(read(RAMP, BitsStored=12, RescaleSlope=slope).pixels, full_range(RAMP))


def test_modality_luts_of_8_bit_entries_and_of_big_endian_files(
    read: Read, dicom: Callable[..., Dataset], tmp_path: Path
) -> None:
    entries = np.arange(255, -1, -1)
    words = np.arange(256, dtype=np.uint8).reshape(16, 16)
    packed = read(words, ModalityLUTSequence=Sequence([lut(entries, 0, 8, dtype="u1")]))
    np.testing.assert_array_equal(packed.pixels, (255 - words) * np.uint16(257))
    dataset = dicom(words, transfer_syntax=ExplicitVRBigEndian)
    dataset.ModalityLUTSequence = Sequence([lut(entries * 257, 0, 16, dtype=">u2")])
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read_film(tmp_path / "a.dcm").pixels, (255 - words) * np.uint16(257))


# Value of interest

SEVERAL = {
    "WindowCenter": ["2000", "1000", "3000"],
    "WindowWidth": ["801", "401", "1601"],
    "WindowCenterWidthExplanation": ["NORMAL", "HARDER", "SOFTER"],
}


def linear(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """PS3.3 C.11.2.1.2.1, case by case."""
    levels = ((values - (center - 0.5)) / (width - 1) + 0.5) * 65535
    levels = np.where(values <= center - 0.5 - (width - 1) / 2, 0, levels)
    return np.rint(np.where(values > center - 0.5 + (width - 1) / 2, 65535, levels))


def test_by_default_no_window_is_applied(read: Read) -> None:
    film = read(RAMP, BitsStored=12, **SEVERAL)
    np.testing.assert_array_equal(film.pixels, full_range(RAMP))
    assert film.voi == "none"


@pytest.mark.parametrize(
    ("settings", "window", "label"),
    [
        ({}, (2000, 801), "window 1 of 3"),
        ({"voi_number": 2}, (1000, 401), "window 2 of 3"),
        ({"voi_number": 9}, (2000, 801), "window 1 of 3"),
        ({"voi_explanation": "softer "}, (3000, 1601), "window 3 of 3"),
        ({"voi_explanation": "other", "voi_number": 3}, (3000, 1601), "window 3 of 3"),
    ],
)
def test_one_of_several_windows(read: Read, settings: dict[str, Any], window: tuple[float, float], label: str) -> None:
    film = read(RAMP, {"voi": "window", **settings}, BitsStored=12, **SEVERAL)
    np.testing.assert_array_equal(film.pixels, linear(RAMP, *window))
    assert film.voi == label


def test_linear_exact_and_sigmoid(read: Read) -> None:
    header = {"BitsStored": 12, "WindowCenter": "2000", "WindowWidth": "800"}
    exact = read(RAMP, {"voi": "window"}, **header, VOILUTFunction="LINEAR_EXACT")
    expected = np.clip((RAMP - 2000.0) / 800 + 0.5, 0, 1) * 65535
    np.testing.assert_array_equal(exact.pixels, np.rint(expected))
    sigmoid = read(RAMP, {"voi": "window"}, **header, VOILUTFunction="SIGMOID")
    np.testing.assert_allclose(sigmoid.pixels, 65535 / (1 + np.exp(-4 * (RAMP - 2000.0) / 800)), atol=0.51)


@pytest.mark.parametrize("kind", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@given(center=st.floats(-1e4, 1e4), width=st.floats(1, 1e4))
def test_windows_rise_and_agree_with_pydicom(kind: str, center: float, width: float) -> None:
    header = Dataset()
    header.WindowCenter, header.WindowWidth, header.VOILUTFunction = center, width, kind
    header.BitsStored, header.PixelRepresentation, header.PhotometricInterpretation = 12, 0, "MONOCHROME2"
    values = np.arange(0, 4096, 5, dtype=np.uint16)
    levels = window_function(kind, center, width)(values.astype(np.float64))
    assert np.all(np.diff(levels) >= 0)
    assert levels.min() >= 0
    assert levels.max() <= 1
    if kind != "LINEAR" or width > 1:  # pydicom divides by zero there
        np.testing.assert_allclose(levels, apply_voi_lut(values, header) / 4095, atol=1e-6)


def test_a_window_of_width_one_is_a_threshold() -> None:
    levels = window_function("LINEAR", 100, 1)(np.array([98.0, 99.0, 99.5, 100.0, 101.0]))
    assert levels.tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"WindowCenter": "100"},
        {"WindowCenter": "100", "WindowWidth": "0"},
        {"WindowCenter": "100", "WindowWidth": "-5"},
        {"WindowCenter": "100", "WindowWidth": "50", "VOILUTFunction": "CUBIC"},
    ],
)
def test_without_a_usable_window_the_full_range_is_kept(read: Read, header: dict[str, Any]) -> None:
    film = read(RAMP, {"voi": "window"}, BitsStored=12, **header)
    np.testing.assert_array_equal(film.pixels, full_range(RAMP))
    assert film.voi == "none"


def test_a_damaged_window_among_others_does_not_count(read: Read) -> None:
    film = read(RAMP, {"voi": "window"}, BitsStored=12, WindowCenter=["5", "2000"], WindowWidth=["0", "801"])
    np.testing.assert_array_equal(film.pixels, linear(RAMP, 2000, 801))
    assert film.voi == "window 1 of 1"


def test_voi_luts(read: Read) -> None:
    normal = np.rint(65535 * np.linspace(0, 1, 4096) ** 2)
    harder = np.rint(1023 * np.linspace(0, 1, 2000) ** 3)
    sequence = Sequence([lut(normal, 0, 16, "NORMAL"), lut(harder, 1000, 10, "HARDER")])
    header = {"BitsStored": 12, "VOILUTSequence": sequence}
    film = read(RAMP, {"voi": "lut"}, **header)
    np.testing.assert_array_equal(film.pixels, normal[RAMP])
    assert film.voi == "lut 1 of 2"
    film = read(RAMP, {"voi": "lut", "voi_explanation": "HARDER"}, **header)
    entries = harder[np.clip(RAMP.astype(int) - 1000, 0, 1999)]
    np.testing.assert_array_equal(film.pixels, np.rint(entries / 1023 * 65535))
    assert film.voi == "lut 2 of 2"


def test_the_kind_that_the_settings_want_goes_first(read: Read) -> None:
    table = np.arange(4095, -1, -1)
    header = {"BitsStored": 12, "WindowCenter": "2000", "WindowWidth": "801"}
    both = header | {"VOILUTSequence": Sequence([lut(table, 0, 12)])}
    np.testing.assert_array_equal(read(RAMP, {"voi": "window"}, **both).pixels, linear(RAMP, 2000, 801))
    np.testing.assert_array_equal(read(RAMP, {"voi": "lut"}, **both).pixels, full_range(table[RAMP]))
    np.testing.assert_array_equal(read(RAMP, {"voi": "lut"}, **header).pixels, linear(RAMP, 2000, 801))


def test_a_voi_lut_of_signed_values(read: Read, dicom: Callable[..., Dataset], tmp_path: Path) -> None:
    signed = (RAMP.astype(np.int64) - 2048).astype(np.int16)
    table = np.rint(65535 * np.linspace(0, 1, 4096) ** 2)
    film = read(signed, {"voi": "lut"}, BitsStored=12, VOILUTSequence=Sequence([lut(table, -2048, 16)]))
    np.testing.assert_array_equal(film.pixels, table[RAMP])


@pytest.mark.parametrize("item", [Dataset(), lut(np.arange(9), 0, 40)], ids=["empty", "bits"])
def test_a_damaged_voi_lut_excludes_where_it_is_wanted(read: Read, item: Dataset) -> None:
    header = {"BitsStored": 12, "VOILUTSequence": Sequence([item])}
    np.testing.assert_array_equal(read(RAMP, **header).pixels, full_range(RAMP))
    with pytest.raises(ExcludedCase) as problem:
        read(RAMP, {"voi": "lut"}, **header)
    assert problem.value.reason == FileReason.UNREADABLE


def test_inversion_comes_after_the_window_and_padding_last(read: Read) -> None:
    film = read(
        RAMP,
        {"voi": "window"},
        BitsStored=12,
        PhotometricInterpretation="MONOCHROME1",
        WindowCenter="2000",
        WindowWidth="801",
        PixelPaddingValue=0,
        PixelPaddingRangeLimit=10,
    )
    np.testing.assert_array_equal(film.pixels, np.where(RAMP <= 10, 0, 65535 - linear(RAMP, 2000, 801)))


def test_the_whole_pipeline_agrees_with_pydicom(read: Read, tmp_path: Path) -> None:
    signed = (RAMP.astype(np.int64) - 2048).astype(np.int16)
    header = {"BitsStored": 12, "RescaleSlope": "2", "RescaleIntercept": "-100"}
    header |= {"WindowCenter": "50", "WindowWidth": "3000"}
    film = read(signed, {"voi": "window"}, **header)
    dataset = open_dicom(tmp_path / "film.dcm")
    shown = apply_voi_lut(apply_modality_lut(signed, dataset), dataset)
    span = shown.max() - shown.min()
    np.testing.assert_allclose(film.pixels / 65535, (shown - shown.min()) / span, atol=1e-5)


# Padding


@pytest.mark.parametrize(("representation", "value"), [("SS", -2000), ("US", 63536)])
def test_padding_of_signed_images(
    dicom: Callable[..., Dataset], tmp_path: Path, representation: str, value: int
) -> None:
    signed = (RAMP.astype(np.int64) - 2048).astype(np.int16)
    dataset = dicom(signed, BitsStored=12)
    dataset.add_new("PixelPaddingValue", representation, value)
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    expected = np.where(signed == -2000, 0, full_range(RAMP))
    np.testing.assert_array_equal(read_film(tmp_path / "a.dcm").pixels, expected)


# Frames


def test_several_frames_are_excluded(read: Read) -> None:
    assert reason_of(read, np.zeros((8, 8), dtype=np.uint8), NumberOfFrames=3) == FileReason.MULTI_FRAME


def test_an_enhanced_object_of_one_frame(dicom: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = dicom(RAMP, BitsStored=12, NumberOfFrames=1, transfer_syntax=ExplicitVRLittleEndian)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = BreastTomosynthesisImageStorage
    measures, transformation, window, anatomy = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [0.1, 0.1]
    transformation.RescaleSlope, transformation.RescaleIntercept, transformation.RescaleType = "2", "-5", "US"
    window.WindowCenter, window.WindowWidth, window.VOILUTFunction = "4000", "1600", "LINEAR_EXACT"
    anatomy.FrameLaterality = "R"
    shared, own = Dataset(), Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PixelValueTransformationSequence = Sequence([transformation])
    own.FrameVOILUTSequence = Sequence([window])
    own.FrameAnatomySequence = Sequence([anatomy])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([own])
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    film = read_film(tmp_path / "a.dcm", ImagesSettings(voi="window"))
    expected = np.clip((2.0 * RAMP - 5 - 4000) / 1600 + 0.5, 0, 1) * 65535
    np.testing.assert_array_equal(film.pixels, np.rint(expected))
    assert film.spacing is not None
    assert film.spacing.rows_mm == 0.1
    assert film.header.side.laterality == "R"


# For processing


def test_images_for_processing_are_kept_and_known_or_left_out(read: Read, write_dicom: Any) -> None:
    header = {"BitsStored": 12, "PresentationIntentType": "FOR PROCESSING"}
    assert read(RAMP, **header).header.intent == "processing"
    with pytest.raises(ExcludedCase) as problem:
        read(RAMP, {"for_processing": "exclude"}, **header)
    assert problem.value.reason == FileReason.FOR_PROCESSING
    shown = read(RAMP, {"for_processing": "exclude"}, PresentationIntentType="FOR PRESENTATION")
    assert shown.header.intent == "presentation"
