"""ROI masks from every kind of picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mammoflow.errors import ExcludedCase, Reason
from mammoflow.imaging.roi_mask import read_roi_mask

GREY8 = np.random.default_rng(3).integers(0, 256, (20, 30)).astype(np.uint8)


def reason_of(path: Path) -> Reason:
    with pytest.raises(ExcludedCase) as problem:
        read_roi_mask(path)
    assert problem.value.detail
    return problem.value.reason


@pytest.mark.parametrize("white", [1, 255, 65535])
def test_masks_of_any_white(tmp_path: Path, write_dicom: Callable[..., Path], white: int) -> None:
    mask = np.zeros((20, 30), dtype=bool)
    mask[5:9, 3:20] = mask[15, 25] = True
    pixels = mask.astype(np.uint16 if white > 255 else np.uint8) * white
    cv2.imwrite(str(tmp_path / "m.png"), pixels.astype(pixels.dtype))
    np.testing.assert_array_equal(read_roi_mask(tmp_path / "m.png"), mask)
    np.testing.assert_array_equal(read_roi_mask(write_dicom(tmp_path / "m.dcm", pixels)), mask)


def test_mask_that_went_through_jpeg(tmp_path: Path) -> None:
    rows, columns = np.ogrid[:80, :90]
    mask = (rows - 40) ** 2 + (columns - 30) ** 2 < 400
    cv2.imwrite(str(tmp_path / "m.jpg"), mask.astype(np.uint8) * 255, [cv2.IMWRITE_JPEG_QUALITY, 90])
    read = read_roi_mask(tmp_path / "m.jpg")
    assert (read != mask).sum() <= 0.02 * mask.sum()


def test_coloured_and_one_bit_masks(tmp_path: Path) -> None:
    mask = GREY8 > 128
    red = np.zeros((20, 30, 3), dtype=np.uint8)
    red[mask, 2] = 255
    cv2.imwrite(str(tmp_path / "red.png"), red)
    np.testing.assert_array_equal(read_roi_mask(tmp_path / "red.png"), mask)
    cv2.imwrite(str(tmp_path / "bit.png"), mask.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])
    np.testing.assert_array_equal(read_roi_mask(tmp_path / "bit.png"), mask)


def test_black_mask_is_empty(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "m.png"), np.zeros((5, 5), dtype=np.uint8))
    assert reason_of(tmp_path / "m.png") == Reason.MASK_EMPTY
