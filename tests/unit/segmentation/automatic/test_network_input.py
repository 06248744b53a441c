"""The grid of an automatic network and the way back."""

from __future__ import annotations

import cv2
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


def test_a_stretched_image_fills_the_square_and_comes_back() -> None:
    grid = NetworkInput(64, stretched=True)
    image = np.tile(np.linspace(0, 60000, 48).astype(np.uint16), (96, 1))
    placed = grid.place(image, (0.5, 0.5))
    assert placed.shape == (64, 64)
    assert placed[:, -1].min() > 58000
    assert grid.shape((96, 48), (0.5, 0.5)) == (64, 64)
    assert grid.pixel_mm((96, 48), (0.5, 0.5)) == 0.75
    restored = grid.restore(placed.astype(np.float32), (96, 48), (0.5, 0.5))
    assert np.abs(restored - image).max() < 1500
    mask = np.zeros((96, 48), dtype=np.bool_)
    mask[30:60, 12:24] = True
    assert np.argwhere(grid.place_mask(mask, (0.5, 0.5))).min(axis=0).tolist() == [20, 16]


def test_clahe_equalises_the_grid_and_not_the_filling() -> None:
    image = np.random.default_rng(0).integers(20000, 24000, (64, 32), dtype=np.uint16)
    plain, equalised = (NetworkInput(64, clahe_clip=clip, clahe_tiles=2).place(image, (1, 1)) for clip in (None, 4.0))
    expected = cv2.createCLAHE(4.0, (2, 2)).apply(np.round(image / 257).astype(np.uint8))
    assert np.array_equal(equalised[:, :32], expected.astype(np.uint16) * 257)
    assert equalised[:, :32].std() > 2 * plain[:, :32].std()
    assert not equalised[:, 32:].any()


def noisy_film() -> np.ndarray:
    """Return a smooth film (256, 256) with noise."""
    y, x = np.mgrid[:256, :256]
    noise = np.random.default_rng(0).normal(0, 600, (256, 256))
    return np.asarray(20000 + 6000 * np.sin(x / 25) + 3000 * np.cos(y / 20) + noise).astype(np.uint16)


def test_the_clip_limit_of_clahe_has_an_effect_at_the_size_of_networks() -> None:
    low, high = (NetworkInput(256, clahe_clip=clip).place(noisy_film(), (1, 1)) for clip in (1.0, 4.0))
    assert np.abs(low.astype(int) - high).mean() > 1000
    assert high.std() > low.std()


@pytest.mark.parametrize("clip", [2.0, 8.0])
def test_clahe_leaves_the_background_at_0(clip: float) -> None:
    film = noisy_film()
    film[:, 150:] = 0
    placed = NetworkInput(256, clahe_clip=clip).place(film, (1, 1))
    air = NetworkInput(256).place(film, (1, 1)) == 0
    assert 0.3 < air.mean() < 0.7
    assert not placed[air].any()
    assert placed[~air].mean() > 10000


def test_weights_that_were_trained_with_more_bins_see_their_images_with_as_many() -> None:
    film = noisy_film()
    placed = NetworkInput(256, clahe_clip=2.0, clahe_bins=65536).place(film, (1, 1))
    assert np.array_equal(placed, cv2.createCLAHE(2.0, (8, 8)).apply(film))
