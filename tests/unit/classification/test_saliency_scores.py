"""The pointing game and the energy inside, against values computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mammoflow.classification.saliency.scores import map_scores, mask_of_cover, maximum


def square(side: int, y0: int, x0: int, y1: int, x1: int) -> Any:
    mask = np.zeros((side, side), dtype=np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def point(side: int, y: int, x: int) -> Any:
    saliency = np.zeros((side, side), dtype=np.float32)
    saliency[y, x] = 2.0
    return saliency


@pytest.mark.parametrize(
    ("tolerance", "column", "hit"),
    [(0.0, 5, 1), (0.0, 6, 0), (0.1, 6, 1), (0.1, 7, 0), (0.2, 7, 1)],
)
def test_a_maximum_is_a_hit_up_to_the_tolerance_beside_the_mask(tolerance: float, column: int, hit: int) -> None:
    mask = square(10, 2, 2, 6, 6)  # its last column is 5, a tenth of the side is one pixel
    assert map_scores(point(10, 3, column), mask, tolerance).pointing_hit == hit


def test_chance_is_the_share_of_the_picture_in_which_a_maximum_hits() -> None:
    mask = square(10, 2, 2, 6, 6)
    without, one_pixel = (map_scores(point(10, 0, 0), mask, tolerance) for tolerance in (0.0, 0.1))
    assert without.pointing_chance == without.mask_share == pytest.approx(0.16)
    assert one_pixel.pointing_chance == pytest.approx((16 + 4 * 4) / 100)  # four sides of four pixels, no corners
    assert one_pixel.mask_share == pytest.approx(0.16)
    assert (without.centre_hit, one_pixel.centre_hit) == (1, 1)
    assert map_scores(point(10, 0, 0), square(10, 0, 0, 4, 4), 0.1).centre_hit == 0


def test_energy_is_the_share_of_the_sum_inside_the_mask() -> None:
    saliency = np.array([[1, 2, 0], [3, 4, 0], [0, 0, 10]], dtype=np.float32)
    scores = map_scores(saliency, square(3, 0, 0, 2, 2), 0.0)
    assert scores.energy_inside == pytest.approx(0.5)
    assert scores.pointing_hit == 0
    constant = map_scores(np.ones((3, 3), dtype=np.float32), square(3, 0, 0, 2, 2), 0.0)
    assert constant.energy_inside == pytest.approx(constant.mask_share) == pytest.approx(4 / 9)


def test_a_map_that_is_nowhere_positive_has_no_maximum_and_no_energy() -> None:
    scores = map_scores(np.zeros((4, 4), dtype=np.float32), square(4, 0, 0, 2, 2), 0.0)
    assert scores.pointing_hit is None
    assert scores.energy_inside is None
    assert scores.mask_share == pytest.approx(0.25)


def test_of_a_flat_maximum_the_middle_is_taken() -> None:
    saliency = np.zeros((9, 9), dtype=np.float32)
    saliency[0:5, 4:9] = 1.0
    assert maximum(saliency) == (2, 6)


def test_a_tiny_lesion_keeps_the_pixels_that_it_covers_most() -> None:
    cover = np.array([[0.0, 0.3], [0.4, 0.1]], dtype=np.float32)
    assert mask_of_cover(cover).tolist() == [[False, False], [True, False]]
    assert mask_of_cover(cover * 2).tolist() == [[False, True], [True, False]]
    assert not mask_of_cover(np.zeros((2, 2), dtype=np.float32)).any()
