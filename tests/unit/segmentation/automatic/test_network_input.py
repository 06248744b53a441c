"""The grid of an automatic network and the way back."""

from __future__ import annotations

import numpy as np
import pytest

from mammoflow.segmentation.protocol.network_input import MULTIPLE, NetworkInput

SPACINGS = (0.4, 0.4)


@pytest.mark.parametrize(
    ("size", "expected"), [((200, 100), (64, 32)), ((100, 200), (32, 64)), ((32, 16), (64, 32)), ((200, 3), (64, 1))]
)
def test_whole_images_keep_their_aspect_in_a_square(size: tuple[int, int], expected: tuple[int, int]) -> None:
    grid = NetworkInput(64)
    placed = grid.place(np.full(size, 1000, np.uint16), SPACINGS)
    assert grid.shape(size, SPACINGS) == expected
    assert placed.shape == (64, 64)
    assert (placed[: expected[0], : expected[1]] == 1000).all()
    assert np.count_nonzero(placed) == expected[0] * expected[1]


def test_images_at_a_spacing_are_filled_up_to_multiples() -> None:
    grid = NetworkInput(64, spacing_mm=0.8)
    placed = grid.place(np.full((200, 100), 1000, np.uint16), (0.4, 0.8))
    assert grid.shape((200, 100), (0.4, 0.8)) == (100, 100)
    assert placed.shape == (128, 128)
    assert placed.shape[0] % MULTIPLE == 0


def test_pixels_are_as_large_as_said() -> None:
    assert NetworkInput(64, 0.8).pixel_mm((200, 100), SPACINGS) == pytest.approx(0.8)
    assert NetworkInput(50).pixel_mm((200, 100), SPACINGS) == pytest.approx(1.6)


def test_a_small_lesion_is_never_lost() -> None:
    mask = np.zeros((200, 100), dtype=np.bool_)
    mask[51, 33] = True
    placed = NetworkInput(32).place_mask(mask, SPACINGS)
    assert np.argwhere(placed).tolist() == [[8, 5]]


@pytest.mark.parametrize("grid", [NetworkInput(64), NetworkInput(64, 0.7)])
def test_the_way_back_leads_to_the_place_of_departure(grid: NetworkInput) -> None:
    y, x = np.mgrid[:200, :100] + 0.5
    disc = np.hypot(y - 70, x - 40) < 25
    placed = grid.place((disc * 60000).astype(np.uint16), SPACINGS)
    back = grid.restore(placed.astype(np.float32) / 60000, (200, 100), SPACINGS) > 0.5
    assert np.count_nonzero(back & disc) / np.count_nonzero(back | disc) > 0.9
