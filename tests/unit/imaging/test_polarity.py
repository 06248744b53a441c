"""Films whose black and white are exchanged, and films that only look as if they were."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mammoflow.imaging.polarity import looks_inverted

WHITE = 65535


def texture(shape: tuple[int, int], sigma: float, seed: int = 0) -> np.ndarray:
    """Smooth noise with a standard deviation of 1."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=shape), (0, 0), sigma)
    return np.asarray(noise / noise.std())


def mammogram(grain: float = 0.002) -> np.ndarray:
    """A half-elliptic breast on the left with the texture of tissue, on an even dark background."""
    rows, columns = np.ogrid[:400, :300]
    depth = 1 - ((rows - 200) / 160) ** 2 - (columns / 190) ** 2
    tissue = 0.35 + 0.25 * depth.clip(0) + 0.06 * texture((400, 300), 3)
    level = np.where(depth > 0, tissue, 0.04) + grain * np.random.default_rng(1).normal(size=(400, 300))
    return np.asarray((level.clip(0, 1) * WHITE).astype(np.uint16))


FILM = mammogram()
PADDING = (FILM.shape[0] // 4, FILM.shape[1] // 4)


@pytest.mark.parametrize(
    "film",
    [
        WHITE - FILM,
        WHITE - mammogram(grain=0.02),
        WHITE // 2 - FILM // 2,  # the darker half of the levels
        WHITE - FILM // 4,  # of low contrast
        (((WHITE - FILM) / WHITE) ** 2 * WHITE).astype(np.uint16),
        np.pad(WHITE - FILM, PADDING),  # black padding around it
        np.pad(WHITE - FILM, ((0, 0), (0, 250))),
        (WHITE - FILM)[:, ::-1],
    ],
)
def test_inverted_films_are_found(film: np.ndarray) -> None:
    assert looks_inverted(np.ascontiguousarray(film))


@pytest.mark.parametrize(
    "film",
    [
        FILM,
        mammogram(grain=0.02),
        np.ascontiguousarray(FILM[:, ::-1]),
        FILM // 8,
        np.pad(FILM, 10, constant_values=WHITE),  # a white frame
        np.pad(FILM, ((0, 0), (0, 300))),
        np.maximum(FILM, np.pad(np.full((60, 50), WHITE, np.uint16), ((20, 320), (240, 10)))),  # a label
        (WHITE * (0.5 + 0.1 * texture((300, 300), 3)).clip(0, 1)).astype(np.uint16),  # a spot view: tissue alone
        FILM[120:280, :100],  # a part of the breast
        np.full((50, 40), 3000, np.uint16),
        np.zeros((50, 40), np.uint16),
    ],
)
def test_films_of_the_right_polarity_are_not(film: np.ndarray) -> None:
    assert not looks_inverted(film)


def test_lesions_outside_the_breast_make_weak_signs_count() -> None:
    slope = np.linspace(0.7, 1, 300)  # so that the border has no level of its own
    even = ((WHITE - mammogram(grain=0.12)) * slope).astype(np.uint16)
    assert not looks_inverted(even)
    assert looks_inverted(even, lesions_outside=True)
    assert not looks_inverted(FILM, lesions_outside=True)
