"""The breast region on drawn films, on phantom films, and where there is none."""

from __future__ import annotations

import contextlib

import cv2
import numpy as np
import pytest

from mammoflow.cohort.phantom.artefacts import ARTEFACTS, hidden
from mammoflow.cohort.phantom.film import Film, draw_film
from mammoflow.cohort.phantom.population import draw_study
from mammoflow.config.phantom import PhantomSettings
from mammoflow.errors import ExcludedCase
from mammoflow.imaging.borders import film_border
from mammoflow.imaging.breast import breast_region
from mammoflow.imaging.polarity import looks_inverted
from mammoflow.reasons.imaging import ImagingReason

SHAPE = (900, 600)


def breast_of(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return ((rows / shape[0] - 0.5) / 0.38) ** 2 + (columns / shape[1] / 0.7) ** 2 < 1


def draw(breast: np.ndarray, background: float = 0.03, noise: float = 0.004) -> np.ndarray:
    """Draw a film whose tissue fades towards the skin."""
    depth = cv2.distanceTransform(np.pad(breast, ((0, 0), (1000, 0)), mode="edge").astype(np.uint8), cv2.DIST_L2, 5)
    tissue = 0.12 + 0.35 * np.clip(depth[:, 1000:] / 60, 0, 1)
    grain = np.random.default_rng(0).normal(0, noise, breast.shape)
    film = np.where(breast, np.maximum(tissue, background + 0.05), background) + grain
    return np.clip(film * 65535, 0, 65535).astype(np.uint16)


def iou(left: np.ndarray, right: np.ndarray) -> float:
    return float((left & right).sum() / (left | right).sum())


def test_plain_film_with_grain() -> None:
    breast = breast_of()
    assert iou(breast_region(draw(breast)), breast) > 0.98


def test_dark_right_breast_and_small_image() -> None:
    breast = breast_of((128, 96))[:, ::-1]
    assert iou(breast_region(draw(breast) // 3), breast) > 0.96


def test_label_tape_and_dust_are_left_out() -> None:
    breast = breast_of()
    film = draw(breast)
    film[40:110, 420:560] = 60000  # label
    film[870:885, 100:500] = 65535  # tape that does not touch the breast
    film[60:860, 560:566] = 50000  # scratch
    film[300, 550] = 65535
    region = breast_region(film)
    assert iou(region, breast) > 0.98
    assert not region[40:110, 420:560].any()


def test_tape_that_touches_the_breast_is_cut_off() -> None:
    breast = breast_of()
    film = draw(breast)
    film[440:452, 300:600] = 65535
    region = breast_region(film)
    assert iou(region, breast) > 0.97
    assert not region[:, 520:].any()


@pytest.mark.parametrize("width", [4, 12, 20])
def test_bright_frame_is_peeled_off(width: int) -> None:
    breast = breast_of()
    film = draw(breast)
    frame = np.ones(SHAPE, dtype=bool)
    frame[width:-width, width:-width] = False
    film[frame] = 64000
    region = breast_region(film)
    assert iou(region, breast & ~frame) > 0.97
    assert (region & frame).sum() < 0.1 * frame.sum()


def test_muscle_at_the_chest_wall_is_no_border() -> None:
    breast = breast_of()
    film = draw(breast).astype(np.float64)
    film += breast * 15000 * np.clip(1 - np.arange(SHAPE[1]) / 200, 0, 1)
    film = film.clip(0, 65535).astype(np.uint16)
    assert not film_border(film).any()
    assert iou(breast_region(film), breast) > 0.98


def test_film_blanked_outside_the_breast() -> None:
    breast = breast_of((256, 256))
    film = np.where(breast, draw(breast), 0).astype(np.uint16)
    assert iou(breast_region(film), breast) > 0.98


def test_region_is_one_piece_without_holes() -> None:
    breast = breast_of()
    film = draw(breast)
    film[400:500, 100:220] = 0  # a hole in the tissue
    region = breast_region(film)
    assert region[400:500, 100:220].all()
    pieces, _ = cv2.connectedComponents(region.astype(np.uint8))
    assert pieces == 2  # background and breast


def test_tissue_over_the_whole_film() -> None:
    film = np.random.default_rng(0).normal(30000, 3000, (60, 60))
    film = cv2.resize(film, (600, 800), interpolation=cv2.INTER_CUBIC).astype(np.uint16)
    assert breast_region(film).mean() > 0.95


@pytest.mark.parametrize("name", ["black", "grey", "noise", "label"])
def test_no_breast(name: str) -> None:
    film = np.full(SHAPE, 2000, dtype=np.uint16)
    if name == "black":
        film[:] = 0
    if name == "noise":
        film = np.random.default_rng(0).normal(2000, 200, SHAPE).astype(np.uint16)
    if name == "label":
        film[30:80, 400:450] = 60000
    with pytest.raises(ExcludedCase) as problem:
        breast_region(film)
    assert problem.value.reason == ImagingReason.NO_BREAST


def test_tiny_images_do_not_crash() -> None:
    for shape in ((1, 1), (2, 7), (5, 5), (1, 400)):
        film = np.random.default_rng(0).integers(0, 65535, shape).astype(np.uint16)
        with contextlib.suppress(ExcludedCase):
            assert breast_region(film).shape == shape


@pytest.fixture(scope="module")
def films() -> list[Film]:
    """Both views of two breasts, one of them a right one, with and without a narrow border."""
    breasts = draw_study(PhantomSettings(patients=6, spacing_mm=0.4))
    left = next(breast for breast in breasts if breast.laterality == "L")
    right = next(breast for breast in breasts if breast.laterality == "R")
    return [draw_film(breast, view) for breast in (left, right) for view in ("CC", "MLO")]


def drawn_breast(film: Film) -> np.ndarray:
    truth = film.geometry.breast
    truth = truth[:, ::-1] if film.breast.laterality == "R" else truth
    return np.ascontiguousarray(truth & ~film_border(film.pixels))


def test_phantom_films(films: list[Film]) -> None:
    for film in films:
        assert iou(breast_region(film.pixels), drawn_breast(film)) > 0.98
        assert not looks_inverted(film.pixels)
        assert looks_inverted(65535 - film.pixels)


@pytest.mark.parametrize("name", ARTEFACTS)
def test_phantom_films_with_artefacts(films: list[Film], name: str) -> None:
    for number, film in enumerate(films):
        truth = drawn_breast(film)
        spacing = film.breast.spacing_mm
        spoilt = ARTEFACTS[name](np.random.default_rng(number), film.pixels, truth, spacing)
        assert not np.array_equal(spoilt, film.pixels)
        seen = truth & ~hidden(name, np.random.default_rng(number), truth.shape)
        assert iou(breast_region(spoilt), seen) > 0.97
        assert not looks_inverted(spoilt)


def test_a_white_muscle_at_the_edge_is_no_frame() -> None:
    breast = breast_of()
    film = draw(breast)
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    muscle = breast & (columns < 130 - (rows - 450) / 3)
    film[muscle] = 65535
    assert not film_border(film)[:, 30:].any()
    assert iou(breast_region(film), breast) > 0.97


def test_fog_under_a_black_bed_is_no_tissue() -> None:
    breast = breast_of()
    film = np.maximum(draw(breast), 7000)
    film[:, -60:] = film[:50] = film[-30:] = 0
    region = breast_region(film)
    assert iou(region, breast) > 0.97
    assert film_border(film)[:45].all()


@pytest.mark.parametrize("turns", range(4))
def test_fogged_edge_beside_the_breast_is_left_out(turns: int) -> None:
    breast = breast_of()
    fog = 0.25 * np.clip(1 - np.arange(SHAPE[1]) / 26, 0, 1)
    film = np.maximum(draw(breast, background=0.0), (fog * 65535).astype(np.uint16))
    region = np.rot90(breast_region(np.ascontiguousarray(np.rot90(film, turns))), -turns)
    assert iou(region, breast) > 0.98
    assert not region[:80].any()
    assert not region[-80:].any()


def test_thin_end_of_a_breast_is_no_fogged_edge() -> None:
    breast = breast_of()
    tapers = np.arange(SHAPE[1]) < np.clip(np.arange(SHAPE[0])[:, None] / 3.5, 0, 60)
    film = draw(breast | tapers)
    assert breast_region(film)[60:120, 2].all()


def test_strip_that_brightens_inwards_is_no_fogged_edge() -> None:
    breast = breast_of()
    fold = np.interp(np.arange(SHAPE[1]), [0, 16, 32, 33], [0.08, 0.14, 0.07, 0])
    film = np.maximum(draw(breast, background=0.0), (fold * 65535).astype(np.uint16))
    assert breast_region(film)[20:60, 2].all()
