"""Geometry against known answers and brute force."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammoflow.imaging.geometry import (
    box_of,
    covered_share,
    crop,
    longest_diameter_mm,
    mask_to_patch,
    resample,
    resize,
    sample_mask,
    shrink_mask,
)


def blob(seed: int, shape: tuple[int, int] = (9, 11), share: float = 0.25) -> np.ndarray:
    mask = np.random.default_rng(seed).random(shape) < share
    mask[shape[0] // 2, shape[1] // 2] = True
    return mask


def test_box_is_half_open_and_none_where_empty() -> None:
    mask = np.zeros((10, 12), dtype=bool)
    assert box_of(mask) is None
    mask[2:5, 7] = True
    assert box_of(mask) == (2, 7, 5, 8)
    mask[9, 0] = True
    assert box_of(mask) == (2, 0, 10, 12 - 4)


def test_box_of_a_view_that_is_not_contiguous() -> None:
    mask = np.zeros((10, 12), dtype=bool)
    mask[2:5, 7] = True
    assert box_of(mask[:, ::-1]) == (2, 4, 5, 5)


@pytest.mark.parametrize(
    ("height", "width", "spacing", "diameter"),
    [
        (1, 1, 1.0, math.sqrt(2)),
        (3, 4, 1.0, 5.0),
        (3, 4, 0.05, 0.25),
        (5, 12, (1.0, 1.0), 13.0),
        (3, 2, (1.0, 2.0), 5.0),
    ],
)
def test_longest_diameter_of_rectangles(
    height: int, width: int, spacing: float | tuple[float, float], diameter: float
) -> None:
    mask = np.zeros((20, 30), dtype=bool)
    mask[4 : 4 + height, 9 : 9 + width] = True
    assert longest_diameter_mm(mask, spacing) == pytest.approx(diameter)


@pytest.mark.parametrize("seed", range(8))
def test_longest_diameter_equals_the_largest_distance_of_any_two_corners(seed: int) -> None:
    mask = blob(seed, share=0.1)
    corners = [(y + i, x + j) for y, x in np.argwhere(mask) for i, j in product((0, 1), repeat=2)]
    expected = max(math.hypot(0.3 * (a[0] - b[0]), 0.5 * (a[1] - b[1])) for a in corners for b in corners)
    assert longest_diameter_mm(mask, (0.3, 0.5)) == pytest.approx(expected)


def test_longest_diameter_of_nothing_is_not_defined() -> None:
    assert math.isnan(longest_diameter_mm(np.zeros((3, 3), dtype=bool), 1.0))


def test_longest_diameter_of_a_disk() -> None:
    rows, columns = np.ogrid[:101, :101]
    disk = (rows - 50) ** 2 + (columns - 50) ** 2 <= 40**2
    assert longest_diameter_mm(disk, 0.1) == pytest.approx(8.1, abs=0.05)


def test_crop_pads_outside_with_zero() -> None:
    image = np.arange(1, 13, dtype=np.uint16).reshape(3, 4)
    np.testing.assert_array_equal(crop(image, (1, 1, 3, 3)), [[6, 7], [10, 11]])
    np.testing.assert_array_equal(crop(image, (-1, -1, 1, 2)), [[0, 0, 0], [0, 1, 2]])
    np.testing.assert_array_equal(crop(image, (2, 3, 4, 5)), [[12, 0], [0, 0]])
    np.testing.assert_array_equal(crop(image, (7, 7, 8, 8), fill=9), [[9]])


def test_crop_rounds_outward_and_adds_its_margin() -> None:
    image = np.arange(100).reshape(10, 10)
    assert crop(image, (2.2, 3.0, 4.0, 5.9)).shape == (2, 3)
    np.testing.assert_array_equal(crop(image, (2.2, 3.0, 4.0, 5.9), margin=1), image[1:5, 2:7])
    assert crop(np.zeros((10, 10, 3)), (0, 0, 2, 12)).shape == (2, 12, 3)


def test_crop_is_a_copy_and_refuses_an_empty_box() -> None:
    image = np.zeros((4, 4))
    crop(image, (0, 0, 2, 2))[:] = 1
    assert image.sum() == 0
    with pytest.raises(ValueError, match="empty"):
        crop(image, (3, 3, 3, 4))


def test_resample_averages_areas() -> None:
    image = np.random.default_rng(0).integers(0, 60000, (40, 60)).astype(np.uint16)
    small = resample(image, 0.05, 0.2)
    assert small.shape == (10, 15)
    np.testing.assert_allclose(small, image.reshape(10, 4, 15, 4).mean(axis=(1, 3)), atol=0.51)


def test_resample_to_finer_pixels_keeps_constant_and_mean() -> None:
    image = np.full((10, 10), 7.0, dtype=np.float32)
    assert resample(image, 1.0, 0.5).shape == (20, 20)
    np.testing.assert_allclose(resample(image, 1.0, 0.5), 7.0)


def test_resize_of_a_mask_is_a_mask_by_majority() -> None:
    mask = np.zeros((4, 4), dtype=bool)
    mask[:2, :2] = True
    mask[3, 3] = True
    np.testing.assert_array_equal(resize(mask, (2, 2)), [[True, False], [False, False]])


@pytest.mark.parametrize("factor", [1, 2, 4, 5])
@pytest.mark.parametrize(("top", "left"), [(0, 0), (2, 3), (-3, -2)])
def test_masks_go_to_an_aligned_patch(factor: int, top: int, left: int) -> None:
    mask = resize(blob(1, (6, 5), 0.4), (30, 25))
    image = {"row_spacing_mm": 0.2, "column_spacing_mm": 0.2, "height": 30, "width": 25}
    lesion = {"patch_y0": float(top), "patch_x0": float(left), "patch_spacing_mm": 0.2 / factor}
    shape = (40 * factor, 40 * factor)
    patch = mask_to_patch(mask, lesion, image, shape)
    padded = np.zeros((50, 50), dtype=bool)
    padded[5:35, 5:30] = mask
    expected = padded[5 + top : 45 + top, 5 + left : 45 + left]
    disagreement = (resize(patch, (40, 40)) != expected).sum()
    assert disagreement <= (0 if factor == 1 else 0.04 * mask.sum())


def test_sample_mask_at_the_image_border_fills_the_pixel_that_it_covers() -> None:
    mask = np.ones((2, 2), dtype=bool)
    sampled = sample_mask(mask, (-1.0, -1.0), (0.25, 0.25), (16, 16))
    expected = np.zeros((16, 16), dtype=bool)
    expected[4:12, 4:12] = True
    np.testing.assert_array_equal(sampled, expected)


@pytest.mark.parametrize("seed", range(4))
def test_covered_share_equals_fine_sampling(seed: int) -> None:
    mask = blob(seed, (7, 8), 0.5)
    row_edges, column_edges = np.array([-1.0, 0.5, 2.25, 6.0, 8.0]), np.array([0.25, 1.0, 7.5, 9.0])
    fine = np.zeros((9 * 64, 10 * 64))
    fine[64 : 8 * 64, 64 : 9 * 64] = np.kron(mask, np.ones((64, 64)))
    rows, columns = ((row_edges + 1) * 64).astype(int), ((column_edges + 1) * 64).astype(int)
    expected = [[fine[rows[i] : rows[i + 1], columns[j] : columns[j + 1]].mean() for j in range(3)] for i in range(4)]
    np.testing.assert_allclose(covered_share(mask, row_edges, column_edges), expected, atol=1e-6)


@given(
    seed=st.integers(0, 10_000),
    height=st.integers(3, 60),
    width=st.integers(3, 60),
    reduction=st.floats(1.0, 12.0),
)
@settings(deadline=None)
def test_shrinking_never_loses_a_mask_and_stays_in_its_box(
    seed: int, height: int, width: int, reduction: float
) -> None:
    mask = blob(seed, (height, width), 0.01)
    shape = (max(1, round(height / reduction)), max(1, round(width / reduction)))
    small = shrink_mask(mask, shape)
    assert small.shape == shape
    box, small_box = box_of(mask), box_of(small)
    assert box is not None
    assert small_box is not None
    rows, columns = shape[0] / height, shape[1] / width
    assert small_box[0] >= math.floor(box[0] * rows)
    assert small_box[3] <= math.ceil(box[3] * columns)


def test_shrinking_sets_the_pixel_with_the_largest_share() -> None:
    mask = np.zeros((40, 40), dtype=bool)
    mask[18, 9:12] = True  # two thirds of it in the second column of the small grid
    small = shrink_mask(mask, (4, 4))
    assert np.argwhere(small).tolist() == [[1, 1]]


def test_shrinking_to_the_same_size_changes_nothing() -> None:
    mask = blob(5, (20, 30))
    np.testing.assert_array_equal(shrink_mask(mask, (20, 30)), mask)
