"""ROI masks from every kind of picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mammoflow.errors import ExcludedCase, Reason
from mammoflow.imaging.roi_mask import read_roi_mask
from mammoflow.reasons.lesions import LesionReason

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
    assert reason_of(tmp_path / "m.png") == LesionReason.MASK_EMPTY


LESION = np.zeros((20, 30), dtype=bool)
LESION[5:9, 3:20] = LESION[15, 25] = True
BLACK, WHITE, RED, BLUE, DARK_RED = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255), (64, 0, 0)


def save(path: Path, lesion: tuple[int, ...], other: tuple[int, ...], mode: str) -> Path:
    """Write a picture with one value inside the lesion and one outside."""
    pixels = np.where(LESION[..., None], np.array(lesion), np.array(other)).astype(np.uint8)
    Image.fromarray(pixels.squeeze(), mode).save(path)
    return path


def save_palette(path: Path, indices: np.ndarray, *colours: tuple[int, int, int], **options: int) -> Path:
    picture = Image.fromarray(indices.astype(np.uint8), "P")
    picture.putpalette([level for colour in colours for level in colour])
    picture.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(
    ("mode", "lesion", "other"),
    [
        ("RGB", WHITE, BLACK),
        ("RGB", RED, BLACK),
        ("RGB", (0, 3, 0), BLACK),
        ("RGBA", (*WHITE, 255), (*BLACK, 255)),
        ("RGBA", (*WHITE, 0), (*BLACK, 0)),  # an opacity that says nothing
        ("RGBA", (*RED, 255), (*BLACK, 0)),
        ("RGBA", (*RED, 128), (*BLACK, 0)),
        ("LA", (255, 255), (0, 255)),
        ("LA", (0, 255), (0, 0)),  # black ink on a transparent sheet
        ("LA", (255, 255), (0, 0)),
    ],
)
def test_colour_or_opacity_is_the_mask(
    tmp_path: Path, suffix: str, mode: str, lesion: tuple[int, ...], other: tuple[int, ...]
) -> None:
    np.testing.assert_array_equal(read_roi_mask(save(tmp_path / f"m.{suffix}", lesion, other, mode)), LESION)


@pytest.mark.parametrize(
    ("lesion", "other"),
    [((*WHITE, 255), (*WHITE, 0)), ((*RED, 255), (*WHITE, 0)), ((*RED, 255), (*BLUE, 0)), ((*BLACK, 255), (*BLACK, 0))],
)
def test_what_is_transparent_is_background_whatever_its_colour(
    tmp_path: Path, lesion: tuple[int, ...], other: tuple[int, ...]
) -> None:
    np.testing.assert_array_equal(read_roi_mask(save(tmp_path / "m.png", lesion, other, "RGBA")), LESION)


@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("name", ["m.png", "m.tif"])
def test_one_bit(tmp_path: Path, name: str, white_is_zero: bool) -> None:
    picture = Image.fromarray(LESION.astype(np.uint8) * 255).convert("1")
    options = {"tiffinfo": {262: 0}} if white_is_zero and name.endswith("tif") else {}
    picture.save(tmp_path / name, **options)
    np.testing.assert_array_equal(read_roi_mask(tmp_path / name), LESION)


@pytest.mark.parametrize("colours", [(BLACK, RED), (BLACK, (1, 1, 1)), (DARK_RED, WHITE), (BLACK, WHITE)])
def test_palettes(tmp_path: Path, colours: tuple[tuple[int, int, int], ...]) -> None:
    np.testing.assert_array_equal(read_roi_mask(save_palette(tmp_path / "m.png", LESION, *colours)), LESION)


def test_a_palette_of_several_labels_needs_a_stated_one(tmp_path: Path) -> None:
    labels = LESION.astype(int)
    labels[15, 25] = 2
    path = save_palette(tmp_path / "m.png", labels, BLACK, (128, 128, 0), DARK_RED)
    assert reason_of(path) == LesionReason.MASK_LEVELS
    np.testing.assert_array_equal(read_roi_mask(path, ">0"), LESION)
    np.testing.assert_array_equal(read_roi_mask(path, "2"), labels == 2)


def test_transparent_entry_of_a_palette_is_background(tmp_path: Path) -> None:
    path = save_palette(tmp_path / "m.png", LESION, WHITE, RED, transparency=0)
    np.testing.assert_array_equal(read_roi_mask(path), LESION)


def test_16_bit_with_opacity(tmp_path: Path) -> None:
    grey = LESION.astype(np.uint16) * np.uint16(65535)
    cv2.imwrite(str(tmp_path / "m.png"), np.dstack([grey, grey, grey, np.full_like(grey, 65535)]))
    np.testing.assert_array_equal(read_roi_mask(tmp_path / "m.png"), LESION)


@pytest.mark.parametrize(
    ("mode", "lesion", "other"),
    [
        ("RGB", RED, BLUE),
        ("RGB", RED, WHITE),
        ("RGBA", (*WHITE, 0), (*BLACK, 255)),
        ("RGBA", (*BLACK, 255), (*WHITE, 0)),
    ],
)
def test_what_two_people_would_read_differently_is_excluded(
    tmp_path: Path, mode: str, lesion: tuple[int, ...], other: tuple[int, ...]
) -> None:
    assert reason_of(save(tmp_path / "m.png", lesion, other, mode)) == LesionReason.MASK_NOT_FOUND


@pytest.mark.parametrize(("mode", "value"), [("RGBA", (*BLACK, 255)), ("LA", (0, 0)), ("RGB", BLACK)])
def test_black_everywhere_is_empty(tmp_path: Path, mode: str, value: tuple[int, ...]) -> None:
    assert reason_of(save(tmp_path / "m.png", value, value, mode)) == LesionReason.MASK_EMPTY


@pytest.mark.parametrize("header", [{}, {"BitsStored": 4}, {"PhotometricInterpretation": "MONOCHROME1"}])
def test_levels_of_a_dicom_mask_are_named_as_they_are_stored(
    tmp_path: Path, write_dicom: Callable[..., Path], header: dict[str, object]
) -> None:
    labels = np.zeros((40, 30), dtype=np.uint8)
    labels[5:15, 5:15], labels[25:35, 5:15] = 1, 2
    path = write_dicom(tmp_path / "m.dcm", labels, **header)
    with pytest.raises(ExcludedCase, match="the 3 levels 0, 1, 2"):
        read_roi_mask(path)
    assert np.array_equal(read_roi_mask(path, "2"), labels == 2)
