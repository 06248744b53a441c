"""The pectoral muscle on phantom films, whose muscle is known, on a drawn triangle, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from mammoflow.cohort.phantom.film import Film, draw_film
from mammoflow.cohort.phantom.population import draw_study
from mammoflow.config.phantom import PhantomSettings
from mammoflow.imaging.breast import breast_region
from mammoflow.imaging.pectoral import find_pectoral

SHAPE = (600, 400)


def dice(left: np.ndarray, right: np.ndarray) -> float:
    return 2 * float((left & right).sum()) / float(left.sum() + right.sum())


def drawn(top: float, side: float, muscle_level: float = 0.75) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a film, its breast and a triangle of muscle with these legs in pixels."""
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    breast = columns < 320 - 0.0008 * (rows - 330.0) ** 2
    muscle = (columns / top + rows / side < 1) & breast
    grain = np.random.default_rng(0).normal(0, 0.02, SHAPE)
    level = np.where(muscle, muscle_level, 0.4 * breast) + 0.02 + grain
    return (np.clip(level, 0, 1) * 65535).astype(np.uint16), breast, muscle


@pytest.fixture(scope="module")
def films() -> list[Film]:
    breasts = draw_study(PhantomSettings(patients=6, spacing_mm=0.4))[:5]
    return [draw_film(breast, "MLO") for breast in breasts]


def test_phantom_muscles(films: list[Film]) -> None:
    assert {film.breast.laterality for film in films} == {"L", "R"}
    for film in films:
        breast = breast_region(film.pixels)
        truth = (film.geometry.muscle_mm > 0) & film.geometry.breast
        truth = (truth[:, ::-1] if film.breast.laterality == "R" else truth) & breast
        found = find_pectoral(film.pixels, breast)
        assert found is not None
        assert dice(found.mask, truth) > 0.9
        assert not (found.mask & ~breast).any()


@pytest.mark.parametrize(("top", "side"), [(150, 420), (100, 250), (180, 300)])
def test_line_of_a_triangle(top: float, side: float) -> None:
    image, breast, muscle = drawn(top, side)
    found = find_pectoral(image, breast)
    assert found is not None
    assert dice(found.mask, muscle) > 0.95
    assert found.angle_deg == pytest.approx(np.degrees(np.arctan2(top, side)), abs=2.5)
    assert found.top == pytest.approx(top, rel=0.08)
    assert found.side == pytest.approx(side, rel=0.12)
    assert found.contrast > 0.3


def test_a_mirrored_film_has_a_mirrored_muscle() -> None:
    image, breast, _ = drawn(150, 420)
    left = find_pectoral(image, breast)
    right = find_pectoral(np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(breast[:, ::-1]))
    assert left is not None
    assert right is not None
    np.testing.assert_array_equal(left.mask, right.mask[:, ::-1])
    assert (left.angle_deg, left.top, left.side) == (right.angle_deg, right.top, right.side)


def test_a_curved_edge_is_followed() -> None:
    image, breast, _ = drawn(150, 420)
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    straight = 150 * (1 - rows / 420)
    muscle = breast & (columns < straight + 14 * np.sin(np.pi * rows / 420)) & (rows < 420)
    image = np.where(muscle, 0.75 * 65535, np.where(breast, 0.4 * 65535, 1300)).astype(np.uint16)
    found = find_pectoral(image, breast)
    assert found is not None
    line = (columns / found.top + rows / found.side < 1) & breast
    assert dice(found.mask, muscle) > max(0.96, dice(line, muscle))


@pytest.mark.parametrize("muscle_level", [0.4, 0.25])
def test_no_muscle(muscle_level: float) -> None:
    image, breast, _ = drawn(150, 420, muscle_level)
    assert find_pectoral(image, breast) is None


def test_tiny_and_empty_images() -> None:
    for shape in ((1, 1), (5, 300), (40, 20)):
        image = np.random.default_rng(0).integers(0, 65535, shape).astype(np.uint16)
        found = find_pectoral(image, np.ones(shape, dtype=bool))
        assert found is None or found.mask.shape == shape
    assert find_pectoral(np.zeros((60, 40), np.uint16), np.zeros((60, 40), dtype=bool)) is None
