"""Films whose 16-bit files hold values of fewer bits, and dark films that show nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mammoflow.errors import ExcludedCase
from mammoflow.imaging.breast import breast_region
from mammoflow.imaging.polarity import looks_inverted
from mammoflow.imaging.unscaled import scaled
from mammoflow.reasons.imaging import ImagingReason

from .test_breast import SHAPE, breast_of, draw, iou

WHITE = 65535
BREAST = breast_of()
FILM = draw(BREAST)


def with_bits(film: np.ndarray, bits: int, start: int = 0) -> np.ndarray:
    """Return a film whose levels are those of fewer bits, from `start` on."""
    return np.asarray(np.rint(film / WHITE * (2**bits - 1)) + start, dtype=np.uint16)


@pytest.mark.parametrize("start", [0, 32768])
@pytest.mark.parametrize("bits", [9, 10, 12])
def test_values_of_fewer_bits_have_the_region_of_the_scaled_film(bits: int, start: int) -> None:
    film = FILM // 2 if bits == 12 else FILM
    assert iou(breast_region(with_bits(film, bits, start)), BREAST) > 0.98


def test_a_film_of_fewer_bits_is_scaled_by_them() -> None:
    film = with_bits(FILM, 10)
    found = scaled(film)
    assert found is not None
    np.testing.assert_allclose(found.astype(float), np.minimum(film, 511) / 511 * WHITE, atol=0.51)
    for other in (FILM, FILM // 4, np.zeros(SHAPE, np.uint16), np.full(SHAPE, 30000, np.uint16)):
        assert scaled(other) is None


@pytest.mark.parametrize("start", [0, 32768])
def test_exchanged_black_and_white_is_seen_in_10_bits(start: int) -> None:
    assert looks_inverted(with_bits(WHITE - FILM, 10, start))
    assert not looks_inverted(with_bits(FILM, 10, start))


def blotches(sigma: float) -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(size=SHAPE), (0, 0), sigma)
    return np.asarray(noise / noise.std())


BLANK = {
    "black": np.zeros(SHAPE),
    "grey": np.full(SHAPE, 900.0),
    "noise on black": 300 * np.abs(blotches(0.3)),
    "rare bright noise": np.random.default_rng(0).exponential(100, SHAPE),
    "grain": 100 + 300 * blotches(2),
    "coarse grain": 100 + 300 * blotches(5),
    "uneven light": np.broadcast_to(np.linspace(300, 500, SHAPE[1]), SHAPE),
    "noise above 32768": 33000 + 200 * blotches(1),
}


@pytest.mark.parametrize("name", BLANK)
def test_a_dark_film_without_a_breast_is_left_out_and_its_levels_are_named(name: str) -> None:
    film = np.asarray(BLANK[name].clip(0, WHITE), dtype=np.uint16)
    with pytest.raises(ExcludedCase, match=r"its levels are only \d+ to \d+ of 65535; if it shows a br") as problem:
        breast_region(film)
    assert problem.value.reason == ImagingReason.NO_BREAST


def test_the_levels_of_a_film_that_uses_them_are_not_named() -> None:
    film = np.full(SHAPE, 2000, dtype=np.uint16)
    film[30:80, 400:450] = 60000
    with pytest.raises(ExcludedCase, match=r"covers 0\.46% of the film, expected 1%$"):
        breast_region(film)
