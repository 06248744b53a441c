from __future__ import annotations

import math

import numpy as np
import pytest

from mammoflow.features.regions import centre_of, continue_breast, lesion_region, ring_region, shell, without_edge


def square(side: int, y: slice, x: slice) -> np.ndarray:
    mask = np.zeros((side, side), dtype=bool)
    mask[y, x] = True
    return mask


def test_centre_counts_from_the_corner_of_the_first_pixel():
    assert centre_of(square(20, slice(4, 6), slice(10, 14))) == (5.0, 12.0)


def test_shells_have_the_area_of_their_circles_and_meet_without_overlap():
    disc, ring = shell((200, 200), (97.3, 101.8), 0, 60), shell((200, 200), (97.3, 101.8), 60, 150)
    assert disc.sum() == pytest.approx(math.pi * 30**2, rel=0.01)
    assert ring.sum() == pytest.approx(math.pi * (75**2 - 30**2), rel=0.01)
    assert not (disc & ring).any()
    assert np.array_equal(disc | ring, shell((200, 200), (97.3, 101.8), 0, 150))


def test_region_holds_a_lesion_that_is_wider_than_the_disc():
    lesion = square(200, slice(95, 105), slice(40, 160))
    everywhere = np.ones((200, 200), dtype=bool)
    region = lesion_region(lesion, everywhere, 60)
    assert region.pixels[lesion].all()
    assert region.count == (shell((200, 200), (100, 100), 0, 60) | lesion).sum()
    assert region.share == pytest.approx(1, abs=0.01)


def test_ring_leaves_out_the_lesion():
    lesion = square(200, slice(95, 105), slice(40, 160))
    ring = ring_region(lesion, np.ones((200, 200), dtype=bool), 60, 150)
    assert not (ring.pixels & lesion).any()
    assert ring.share == pytest.approx(1, abs=0.01)


def test_share_counts_what_breast_and_patch_hold():
    lesion = square(200, slice(98, 102), slice(98, 102))
    left_half = square(200, slice(None), slice(0, 100))
    assert ring_region(lesion, left_half, 100, 180).share == pytest.approx(0.5, abs=0.01)
    # Half of the ring lies beyond the patch.
    at_edge = square(200, slice(98, 102), slice(0, 2))
    ring = ring_region(at_edge, np.ones((200, 200), dtype=bool), 100, 180)
    assert ring.share == pytest.approx(0.5, abs=0.02)
    assert lesion_region(lesion, ~shell((200, 200), (100, 100), 0, 200), 60).share == 0


def test_edge_of_the_breast_is_left_out_but_not_that_of_the_patch():
    breast = np.zeros((60, 60), dtype=bool)
    breast[:, 20:] = True
    inner = without_edge(breast, 4)
    assert not inner[:, :24].any()
    assert inner[:, 24:].all()
    assert np.array_equal(without_edge(breast, 0), breast)


def test_breast_is_continued_without_a_step():
    y, x = np.mgrid[:120, :120].astype(np.float32)
    breast = x < 60
    tissue = 1000 + 5 * y
    image = np.where(breast, tissue, 60000).astype(np.float32)
    filled = continue_breast(image, breast, spacing_mm=0.5)
    assert np.array_equal(filled[breast], image[breast])
    assert filled.max() <= tissue.max()
    np.testing.assert_allclose(filled[20:100, 60], tissue[20:100, 59], atol=10)


def test_what_lies_outside_the_breast_changes_nothing():
    rng = np.random.default_rng(0)
    breast = shell((100, 100), (50, 20), 0, 120)
    image = rng.normal(size=(100, 100)).astype(np.float32)
    label = np.where(breast, image, 1e4).astype(np.float32)
    assert np.array_equal(continue_breast(image, breast, 0.5), continue_breast(label, breast, 0.5))


def test_film_that_is_all_breast_stays_as_it_is():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert np.array_equal(continue_breast(image, np.ones((3, 4), dtype=bool), 0.2), image)
