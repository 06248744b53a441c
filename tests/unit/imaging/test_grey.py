"""Grey levels of each kind of header."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from mammoflow.errors import ExcludedCase, Reason
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.imaging.grey import dicom_grey, grey_table
from mammoflow.reasons.files import FileReason

WORDS = np.array([[0, 1, 2], [100, 200, 255]], dtype=np.uint8)


def lut(values: list[int], first: int, bits: int) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item.LUTData = np.array(values, dtype="<u2").tobytes()
    item["LUTData"].VR = "OW"
    return Sequence([item])


@pytest.fixture
def grey_of(write_dicom: Callable[..., Path], tmp_path: Path) -> Callable[..., np.ndarray]:
    """Write pixels to a file and read their grey levels back."""

    def read(pixels: np.ndarray, **header: Any) -> np.ndarray:
        return dicom_grey(open_dicom(write_dicom(tmp_path / "film.dcm", pixels, **header)))

    return read


def test_8_bit_goes_to_the_full_range(grey_of: Callable[..., np.ndarray]) -> None:
    grey = grey_of(WORDS)
    assert grey.dtype == np.uint16
    np.testing.assert_array_equal(grey, WORDS * 257.0)


def test_16_bit_stays_as_it_is(grey_of: Callable[..., np.ndarray]) -> None:
    pixels = np.array([[0, 1, 40000], [65535, 7, 8]], dtype=np.uint16)
    np.testing.assert_array_equal(grey_of(pixels), pixels)


@pytest.mark.parametrize("bits", [9, 10, 12, 14])
def test_bits_stored_go_to_the_full_range(grey_of: Callable[..., np.ndarray], bits: int) -> None:
    top = 2**bits - 1
    pixels = np.array([[0, top // 3, top]], dtype=np.uint16)
    np.testing.assert_array_equal(grey_of(pixels, BitsStored=bits), np.rint(pixels * (65535 / top)))


def test_signed_values_start_at_the_lowest(grey_of: Callable[..., np.ndarray]) -> None:
    pixels = np.array([[-2048, -1, 0, 2047]], dtype=np.int16)
    expected = np.rint(np.array([[0, 2047, 2048, 4095]]) * 65535 / 4095)
    np.testing.assert_array_equal(grey_of(pixels, BitsStored=12), expected)
    full = np.array([[-32768, 0, 32767]], dtype=np.int16)
    np.testing.assert_array_equal(grey_of(full), [[0, 32768, 65535]])


def test_monochrome1_and_inverse_lut_shape_turn_round_once(grey_of: Callable[..., np.ndarray]) -> None:
    turned = 65535 - WORDS * 257.0
    np.testing.assert_array_equal(grey_of(WORDS, PhotometricInterpretation="MONOCHROME1"), turned)
    np.testing.assert_array_equal(grey_of(WORDS, PresentationLUTShape="INVERSE"), turned)
    both = grey_of(WORDS, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    np.testing.assert_array_equal(both, turned)
    np.testing.assert_array_equal(grey_of(WORDS, PresentationLUTShape="IDENTITY"), WORDS * 257.0)


def test_rescale_changes_nothing_but_its_sign(grey_of: Callable[..., np.ndarray]) -> None:
    plain = grey_of(WORDS)
    np.testing.assert_array_equal(grey_of(WORDS, RescaleSlope="2.5", RescaleIntercept="-1000"), plain)
    np.testing.assert_array_equal(grey_of(WORDS, RescaleSlope="-1", RescaleIntercept="255"), 65535 - plain)


def test_windows_are_not_applied(grey_of: Callable[..., np.ndarray]) -> None:
    np.testing.assert_array_equal(grey_of(WORDS, WindowCenter="100", WindowWidth="10"), grey_of(WORDS))


def test_modality_lut_is_applied(grey_of: Callable[..., np.ndarray]) -> None:
    sequence = lut([4095, 2000, 1000], first=1, bits=12)
    pixels = np.array([[0, 1, 2, 3, 200]], dtype=np.uint8)
    expected = np.rint(np.array([[4095, 4095, 2000, 1000, 1000]]) * 65535 / 4095)
    np.testing.assert_array_equal(grey_of(pixels, ModalityLUTSequence=sequence), expected)


def test_padding_is_black_also_where_grey_is_turned_round(grey_of: Callable[..., np.ndarray]) -> None:
    grey = grey_of(WORDS, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
    np.testing.assert_array_equal(grey, np.where(WORDS == 0, 0, 65535 - WORDS * 257.0))
    ranged = grey_of(WORDS, PixelPaddingValue=1, PixelPaddingRangeLimit=100)
    np.testing.assert_array_equal(ranged, np.where((WORDS >= 1) & (WORDS <= 100), 0, WORDS * 257.0))


@given(bits=st.integers(1, 16), signed=st.booleans())
def test_table_rises_from_black_to_white_over_the_values(bits: int, signed: bool) -> None:
    header = Dataset()
    header.BitsStored, header.HighBit, header.PixelRepresentation = bits, bits - 1, int(signed)
    table = grey_table(header, 16)
    order = np.roll(table[: 2**bits], 2 ** (bits - 1) if signed else 0).astype(np.int64)
    assert (order[0], order[-1]) == (0, 65535)
    assert np.all(np.diff(order) > 0)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"HighBit": 16, "BitsStored": 8}, FileReason.UNREADABLE),
        ({"HighBit": 6, "BitsStored": 8}, FileReason.UNREADABLE),
        ({"BitsStored": 17}, FileReason.UNREADABLE),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, FileReason.NOT_GREY),
        ({"ModalityLUTSequence": lut([1, 2], first=0, bits=40)}, FileReason.UNREADABLE),
        ({"ModalityLUTSequence": Sequence([Dataset()])}, FileReason.UNREADABLE),
    ],
)
def test_contradictions_exclude(dicom: Callable[..., Dataset], header: dict[str, Any], reason: Reason) -> None:
    dataset = dicom(np.zeros((4, 4), dtype=np.uint16), **header)
    with pytest.raises(ExcludedCase) as problem:
        dicom_grey(dataset)
    assert problem.value.reason == reason
