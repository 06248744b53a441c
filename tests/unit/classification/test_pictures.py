from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mammoflow.classification.crops import LesionFiles, mask_dice, masked_crop, region_around
from mammoflow.classification.inputs.whole_image import breast_picture
from mammoflow.classification.pictures import PictureSamples, augmented, cut, prepare_pictures
from mammoflow.config.pictures import Flips, PictureOptions
from mammoflow.errors import StudyError
from mammoflow.storage.files import write_image, write_mask


@given(st.floats(0, 50), st.floats(0, 50), st.floats(1, 60), st.floats(1, 60), st.floats(0.05, 1), st.floats(0.05, 1))
def test_region_is_square_in_millimetres_and_holds_the_box(
    y0: float, x0: float, height: float, width: float, row_mm: float, column_mm: float
) -> None:
    region = region_around((y0, x0, y0 + height, x0 + width), 0.1, row_mm, column_mm)
    assert region.y0 <= y0 - 1
    assert region.x0 <= x0 - 1
    assert region.y1 >= y0 + height + 1
    assert region.x1 >= x0 + width + 1
    longest = max(height * row_mm, width * column_mm) * 1.2
    for side, spacing in ((region.y1 - region.y0, row_mm), (region.x1 - region.x0, column_mm)):
        assert side * spacing <= longest + 5 * max(row_mm, column_mm) + 1e-6


@given(st.integers(-6, 8), st.integers(-6, 8), st.integers(1, 12), st.integers(1, 12))
def test_cut_is_padded_indexing(y0: int, x0: int, height: int, width: int) -> None:
    image = np.arange(1, 36, dtype=np.uint16).reshape(5, 7)
    expected = np.pad(image, 30)[30 + y0 : 30 + y0 + height, 30 + x0 : 30 + x0 + width]
    np.testing.assert_array_equal(cut(image, y0, x0, y0 + height, x0 + width), expected)


@pytest.fixture
def files(tmp_path: Path) -> LesionFiles:
    image = np.full((40, 40), 1000, np.uint16)
    image[10:20, 10:20] = 30000
    mask = np.zeros((40, 40), dtype=np.bool_)
    mask[10:20, 10:20] = True
    mask[10:15, 15:20] = False
    patch = np.full((80, 80), 50000, np.uint16)  # twice as fine, around the whole film
    write_image(tmp_path / "image.png", image)
    write_image(tmp_path / "patch.png", patch)
    write_mask(tmp_path / "mask.png", mask)
    write_mask(tmp_path / "empty.png", np.zeros((40, 40), dtype=np.bool_))
    return LesionFiles(
        tmp_path / "image.png", tmp_path / "patch.png", tmp_path / "mask.png", (10, 10, 20, 20), (1.0, 1.0), 1.0, (0, 0)
    )


def test_only_the_lesion_is_left(files: LesionFiles) -> None:
    picture, fallback = masked_crop(files, 0.1, 28)  # a region of 14 pixels, each shown as 2
    assert (fallback, picture.shape) == (False, (28, 28))
    assert np.unique(picture).tolist() == [0, 30000] or picture[8, 8] == 30000
    assert picture[8, 8] == 30000
    assert picture[18, 18] == 30000
    assert picture[8, 20] == 0  # inside the box, outside the mask
    assert (picture > 0).mean() == pytest.approx(75 / 14**2, abs=0.03)


@pytest.mark.parametrize("mask", ["empty.png", None])
def test_without_a_mask_the_box_is_shown_unmasked(files: LesionFiles, mask: str | None) -> None:
    picture, fallback = masked_crop(replace(files, mask=files.mask.parent / mask if mask else None), 0.1, 28)
    assert fallback
    assert picture[0, 0] == 1000
    assert picture[14, 14] == 30000


def test_grey_levels_come_from_the_finer_patch_where_it_holds_the_region(files: LesionFiles) -> None:
    finer = replace(files, patch_spacing_mm=0.5)
    assert masked_crop(finer, 0.1, 28)[0].max() == 50000
    assert masked_crop(replace(finer, patch_corner=(12.0, 0.0)), 0.1, 28)[0].max() == 30000


def test_patch_coordinates_meet_the_mask(files: LesionFiles) -> None:
    patch = np.zeros((60, 60), np.uint16)  # corner at canonical (5, 5): the mask's pixels are 10..30
    patch[10:30, 10:30] = 40000
    write_image(files.patch, patch)
    picture, _ = masked_crop(replace(files, patch_spacing_mm=0.5, patch_corner=(5.0, 5.0)), 0.1, 28)
    whole, _ = masked_crop(files, 0.1, 28)
    np.testing.assert_array_equal(picture > 20000, whole > 15000)


def test_padding_in_pixels_takes_the_place_of_the_margin() -> None:
    region = region_around((10, 20, 20, 60), 0.5, 0.5, 0.5, padding_px=20)
    assert (region.x0, region.x1, region.y1 - region.y0) == (0, 80, 80)
    narrow = region_around((10, 20, 20, 60), 0.5, 1.0, 0.25, padding_px=5)
    assert (narrow.y1 - narrow.y0, narrow.x1 - narrow.x0) == (20, 80)  # 20 mm by 20 mm


def test_dice_of_masks_that_are_empty_absent_or_without_a_reference(files: LesionFiles) -> None:
    mask, empty = files.mask, files.image.parent / "empty.png"
    box = np.zeros((40, 40), dtype=np.bool_)
    box[10:20, 10:20] = True
    write_mask(files.image.parent / "box.png", box)
    dice = mask_dice([mask, empty, None, mask], [files.image.parent / "box.png", mask, mask, None])
    np.testing.assert_allclose(dice, [2 * 75 / 175, 0, 0, np.nan])


@pytest.mark.parametrize(("flips", "ways"), [("none", 1), ("horizontal", 2), ("both", 4)])
def test_pictures_are_flipped_in_the_directions_that_are_asked_for(flips: Flips, ways: int) -> None:
    picture = np.arange(9, dtype=np.float32).reshape(3, 3) / 9
    drawn = {augmented(picture, 0.0, 0.0, np.random.default_rng(seed), flips).tobytes() for seed in range(40)}
    possible = [picture, picture[:, ::-1], picture[::-1], picture[::-1, ::-1]][:ways]
    assert drawn == {np.ascontiguousarray(each).tobytes() for each in possible}


def test_breast_is_cut_padded_and_cleared_of_labels(tmp_path: Path) -> None:
    image = np.full((30, 40), 60000, np.uint16)
    breast = np.zeros((30, 40), dtype=np.bool_)
    breast[5:25, 0:10] = True
    write_image(tmp_path / "image.png", image)
    write_mask(tmp_path / "breast.png", breast)
    picture = breast_picture(tmp_path / "image.png", tmp_path / "breast.png", 20)
    expected = np.zeros((20, 20), np.uint16)
    expected[:, 5:15] = 60000
    np.testing.assert_array_equal(picture, expected)
    write_mask(tmp_path / "breast.png", np.zeros_like(breast))
    assert (breast_picture(tmp_path / "image.png", tmp_path / "breast.png", 20) > 0).any()


def samples_of(pictures: np.ndarray, **options: float) -> PictureSamples:
    rows = np.arange(len(pictures))
    labels = (rows % 2).astype(np.float32)
    split = np.array(["train"] * len(rows), dtype=object)
    return PictureSamples(pictures, rows, labels, split, rows, {}, PictureOptions(**options))


def test_prepared_pictures_are_mapped_from_one_file(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "pictures.npy"
    pictures = prepare_pictures(lambda level: np.full((8, 8), level, np.uint16), list(range(70)), 8, file, 2, "levels")
    assert isinstance(pictures, np.memmap)
    assert (pictures.dtype, pictures.shape) == (np.uint16, (70, 8, 8))
    assert pictures[:, 3, 3].tolist() == list(range(70))
    assert file.stat().st_size == pytest.approx(70 * 8 * 8 * 2, abs=256)
    again = prepare_pictures(lambda level: np.full((8, 8), level, np.uint16), list(range(70)), 8, file, 1, "levels")
    assert samples_of(pictures).digest == samples_of(again).digest != samples_of(pictures[:69]).digest


def test_pictures_without_room_on_the_disk_are_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(StudyError, match=r"pictures\.npy cannot be written: the disk is full"):
        prepare_pictures(lambda _: np.zeros((8, 8), np.uint16), [0], 8, tmp_path / "pictures.npy", 1, "levels")


def test_levels_are_those_of_the_pictures_that_the_rows_show() -> None:
    pictures = np.random.default_rng(0).integers(0, 65535, (130, 6, 6)).astype(np.uint16)
    mean, deviation = samples_of(pictures).levels(np.arange(100))
    assert mean.shape == deviation.shape == (1, 1, 1)
    assert float(mean) == pytest.approx(pictures[:100].mean() / 65535, rel=1e-6)
    assert float(deviation) == pytest.approx(pictures[:100].std() / 65535, rel=1e-6)


def test_a_sample_is_its_picture_in_0_to_1() -> None:
    pictures = np.full((2, 4, 4), 65535, np.uint16)
    picture = samples_of(pictures)[1]["picture"]
    assert (picture.dtype, picture.shape, float(picture.min())) == (torch.float32, (1, 4, 4), 1.0)


def test_augmentation_follows_from_the_generator_alone() -> None:
    picture = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32)
    results = [augmented(picture, 15.0, 0.2, np.random.default_rng([7, 2, row])) for row in range(6)]
    assert all(result.shape == (32, 32) and result.min() >= 0 and result.max() <= 1 for result in results)
    assert len({result.tobytes() for result in results}) == 6
    again = augmented(picture, 15.0, 0.2, np.random.default_rng([7, 2, 3]))
    assert again.tobytes() == results[3].tobytes()


def test_rotation_turns_about_the_centre_and_brightness_scales() -> None:
    picture = np.zeros((33, 33), np.float32)
    picture[12:21, 12:21] = 0.5
    turned = [augmented(picture, 180.0, 0.0, np.random.default_rng(seed)) for seed in range(8)]
    assert all(result[16, 16] == pytest.approx(0.5, abs=1e-6) for result in turned)
    assert all(result.sum() == pytest.approx(picture.sum(), rel=0.05) for result in turned)
    gains = [float(augmented(picture, 0.0, 0.3, np.random.default_rng(seed)).max()) / 0.5 for seed in range(40)]
    assert 0.7 <= min(gains) < 0.85
    assert 1.15 < max(gains) <= 1.3
