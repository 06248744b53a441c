from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mammoflow.config.robustness import LEVELS
from mammoflow.imaging.degradations import DEGRADATIONS, INK, Levels, Picture, label_corner, wrong_spacing

BREAST = np.zeros((80, 60), dtype=np.bool_)
BREAST[:, :40] = True
GREY = np.where(BREAST, np.random.default_rng(0).integers(10000, 30001, BREAST.shape), 0).astype(np.uint16)


@pytest.fixture
def picture() -> Picture:
    """A breast at the left edge, at 0.5 mm, with levels spread evenly from 10000 to 30000."""
    return Picture(GREY.copy(), BREAST, (0.5, 0.5), Levels(10000, 30000, 30000), label_at=(0, 1),
                   image_size_mm=(40.0, 30.0), seed=3)  # fmt: skip


def test_every_degradation_has_a_setting() -> None:
    assert set(DEGRADATIONS) == set(LEVELS)


@pytest.mark.parametrize(
    ("name", "identity"),
    [("gaussian_noise", 0), ("blur", 0), ("contrast", 1), ("gamma", 1), ("resolution", 1), ("spacing", 0.09),
     ("label", 0)],
)  # fmt: skip
def test_the_level_without_effect_changes_nothing(picture: Picture, name: str, identity: float) -> None:
    assert np.array_equal(DEGRADATIONS[name](picture, identity), GREY)


@pytest.mark.parametrize(
    ("name", "level"),
    [("gaussian_noise", 0.1), ("blur", 1), ("contrast", 0.5), ("gamma", 2), ("jpeg", 10), ("resolution", 3),
     ("label", 10)],
)  # fmt: skip
def test_each_is_deterministic_and_keeps_shape_type_and_its_argument(picture: Picture, name: str, level: float) -> None:
    changed = DEGRADATIONS[name](picture, level)
    assert changed.shape == GREY.shape
    assert changed.dtype == np.uint16
    assert not np.array_equal(changed, GREY)
    assert np.array_equal(picture.grey, GREY)
    assert np.array_equal(DEGRADATIONS[name](picture, level), changed)


def test_noise_has_its_deviation_and_leaves_the_background_black(picture: Picture) -> None:
    changed = DEGRADATIONS["gaussian_noise"](picture, 0.05)
    difference = changed.astype(float) - GREY
    assert difference[BREAST].std() == pytest.approx(0.05 * 20000, rel=0.05)
    assert abs(difference[BREAST].mean()) < 60
    assert not changed[~BREAST].any()
    assert not np.array_equal(DEGRADATIONS["gaussian_noise"](replace(picture, seed=4), 0.05), changed)


def test_blur_keeps_the_mean_and_has_its_width_in_millimetres(picture: Picture) -> None:
    point = np.zeros((81, 61), dtype=np.uint16)
    point[40, 30] = 60000
    changed = DEGRADATIONS["blur"](replace(picture, grey=point, spacing_mm=(0.5, 0.25)), 1.0).astype(float)
    assert changed.sum() == pytest.approx(60000, rel=0.02)
    rows, columns = np.arange(81) - 40, np.arange(61) - 30
    assert np.sqrt((changed.sum(axis=1) * rows**2).sum() / changed.sum()) == pytest.approx(1 / 0.5, rel=0.05)
    assert np.sqrt((changed.sum(axis=0) * columns**2).sum() / changed.sum()) == pytest.approx(1 / 0.25, rel=0.05)


def test_contrast_scales_the_distance_from_the_middle(picture: Picture) -> None:
    changed = DEGRADATIONS["contrast"](picture, 0.25).astype(float)
    assert np.abs(changed[BREAST] - (20000 + 0.25 * (GREY[BREAST].astype(float) - 20000))).max() <= 0.5
    assert not changed[~BREAST].any()


def test_gamma_keeps_order_black_and_white(picture: Picture) -> None:
    ramp = np.linspace(0, 30000, 80 * 60).astype(np.uint16).reshape(80, 60)
    brighter, darker = (DEGRADATIONS["gamma"](replace(picture, grey=ramp), level).ravel() for level in (0.5, 2))
    assert (np.diff(brighter.astype(int)) >= 0).all()
    assert (np.diff(darker.astype(int)) >= 0).all()
    assert [brighter[0], darker[0], brighter[-1], darker[-1]] == [0, 0, 30000, 30000]
    assert brighter[2400] == pytest.approx(30000 * 0.5**0.5, rel=0.01)
    assert darker[2400] == pytest.approx(30000 * 0.25, rel=0.01)


def test_a_worse_jpeg_is_farther_from_the_picture(picture: Picture) -> None:
    errors = [
        np.abs(DEGRADATIONS["jpeg"](picture, quality).astype(float) - GREY).mean() for quality in (100, 50, 20, 10)
    ]
    assert errors[0] < 400  # 8 bits, and compression of the best quality
    assert errors == sorted(errors)


def test_resolution_averages_blocks_of_the_same_length_on_a_finer_patch(picture: Picture) -> None:
    halves = np.kron(np.array([[0, 40000], [40000, 0]]), np.ones((1, 1)))
    checks = np.tile(halves, (40, 30)).astype(np.uint16)
    assert (DEGRADATIONS["resolution"](replace(picture, grey=checks), 2) == 20000).all()
    finer = np.kron(checks, np.ones((2, 2), dtype=np.uint16))
    assert (DEGRADATIONS["resolution"](replace(picture, grey=finer, scale=2.0), 2) == 20000).all()


def test_a_wrong_spacing_changes_the_column_alone(picture: Picture) -> None:
    assert wrong_spacing(0.5, -0.09) == pytest.approx(0.455)
    assert np.array_equal(DEGRADATIONS["spacing"](picture, -0.09), GREY)


def test_a_label_covers_its_millimetres_in_the_corner_away_from_the_breast(picture: Picture) -> None:
    assert label_corner(BREAST) == (0, 1)
    assert label_corner(np.flip(BREAST)) == (0, 0)
    upper = np.zeros((80, 60), dtype=np.bool_)
    upper[:50, :40] = True
    assert label_corner(upper) == (1, 1)
    changed = DEGRADATIONS["label"](picture, 8.0)
    covered = np.argwhere(changed != GREY)
    # 8 mm wide and 4 mm high at 0.5 mm, in the upper right corner
    assert (covered.min(axis=0) == (0, 60 - 16)).all()
    assert (covered.max(axis=0) == (8 - 1, 60 - 1)).all()
    assert len(covered) == 8 * 16
    assert set(np.unique(changed[:8, -16:])) == {30000, round(INK * 30000)}


def test_a_patch_shows_the_part_of_the_label_that_lies_on_it(picture: Picture) -> None:
    whole = DEGRADATIONS["label"](picture, 8.0)
    part = replace(picture, grey=GREY[4:30, 40:55], breast=BREAST[4:30, 40:55], corner=(4.0, 40.0))
    assert np.array_equal(DEGRADATIONS["label"](part, 8.0), whole[4:30, 40:55])
