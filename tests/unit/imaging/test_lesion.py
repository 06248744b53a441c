"""References, measures and patches with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mammoflow.config.images import ImagesSettings
from mammoflow.errors import ExcludedCase
from mammoflow.imaging.geometry import covered_share, shrink_mask
from mammoflow.imaging.lesion import FilmGrid, Reference, cut_patch, fit_mask, measure, read_reference
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.storage.files import write_mask

GRID = FilmGrid(stored=(400, 300), film=(400, 300), canonical=(100, 75), spacing_mm=0.5)
FILM = np.random.default_rng(0).integers(1, 65536, (400, 300)).astype(np.uint16)
BREAST = np.zeros((100, 75), dtype=bool)
BREAST[10:90, :50] = True


def rectangle(y0: int, x0: int, y1: int, x1: int, shape: tuple[int, int] = (400, 300)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def box_row(*box: float | None) -> dict[str, Any]:
    return {"mask_path": None} | dict(zip(("box_y0", "box_x0", "box_y1", "box_x1"), box, strict=True))


def test_measures_of_a_rectangle() -> None:
    row = measure(Reference(rectangle(200, 100, 230, 140), (200, 100, 230, 140)), GRID)
    assert (row["y0"], row["x0"], row["y1"], row["x1"]) == (50, 25, 57.5, 35)
    assert row["area_mm2"] == pytest.approx(30 * 40 * 0.25)
    assert row["diameter_mm"] == pytest.approx(25.0)


def test_measures_of_a_box_alone() -> None:
    row = measure(Reference(None, (200, 100, 230, 140.5)), GRID)
    assert row["x1"] == pytest.approx(35.125)
    assert row["area_mm2"] == pytest.approx(30 * 40.5 * 0.25)
    assert row["diameter_mm"] == pytest.approx(20.25)


def test_mask_of_an_even_other_scale_is_brought_to_the_film() -> None:
    small = rectangle(50, 25, 60, 35, (100, 75))
    np.testing.assert_array_equal(fit_mask(np.kron(small, np.ones((8, 8), dtype=bool)), GRID).sum(), 40 * 40)
    grown = fit_mask(small, GRID)
    assert grown.shape == (400, 300)
    expected = rectangle(200, 100, 240, 140)
    assert (grown & expected).sum() / (grown | expected).sum() > 0.95


def test_two_scanners_pixels_fit_within_one_percent() -> None:
    shape = (round(400 * 0.87), round(300 * 0.87))
    fitted = fit_mask(rectangle(174, 87, 218, 131, shape), GRID)
    assert fitted.shape == GRID.film
    assert fitted.sum() == pytest.approx((44 / 0.87) ** 2, rel=0.03)


def test_uneven_scales_exclude() -> None:
    with pytest.raises(ExcludedCase) as problem:
        fit_mask(rectangle(10, 10, 20, 20, (350, 300)), GRID)
    assert problem.value.reason == LesionReason.MASK_SHAPE
    assert "350 x 300" in problem.value.detail


def test_box_is_clipped_to_the_film(tmp_path: Path) -> None:
    reference = read_reference(tmp_path, box_row(-5, 10, 20, 400), GRID)
    assert reference.box == (0, 10, 20, 300)
    assert reference.mask is None


def test_box_follows_a_film_made_square(tmp_path: Path) -> None:
    grid = FilmGrid(stored=(400, 300), film=(200, 300), canonical=(100, 150), spacing_mm=0.5)
    assert read_reference(tmp_path, box_row(100, 10, 200, 30), grid).box == (50, 10, 100, 30)


@pytest.mark.parametrize("box", [(10, 10, 10, 20), (20, 10, 10, 20), (500, 10, 600, 20), (float("inf"), 0, 5, 5)])
def test_boxes_that_are_none(tmp_path: Path, box: tuple[float, ...]) -> None:
    with pytest.raises(ExcludedCase) as problem:
        read_reference(tmp_path, box_row(*box), GRID)
    assert problem.value.reason == LesionReason.BOX_INVALID


def test_neither_mask_nor_box(tmp_path: Path) -> None:
    with pytest.raises(ExcludedCase) as problem:
        read_reference(tmp_path, box_row(1, 2, 3, None), GRID)
    assert problem.value.reason == LesionReason.MASK_NOT_FOUND


def test_mask_goes_before_box_and_must_stay_inside_the_study(tmp_path: Path) -> None:
    write_mask(tmp_path / "study" / "m.png", rectangle(200, 100, 230, 140))
    row = box_row(0, 0, 5, 5) | {"mask_path": "m.png"}
    assert read_reference(tmp_path / "study", row, GRID).box == (200, 100, 230, 140)
    with pytest.raises(ExcludedCase) as problem:
        read_reference(tmp_path / "study", row | {"mask_path": "../study/m.png"}, GRID)
    assert problem.value.reason == FileReason.OUTSIDE_STUDY


def test_patch_is_the_film_around_the_lesion() -> None:
    reference = Reference(rectangle(200, 100, 220, 140), (200, 100, 220, 140))
    patch = cut_patch(ImagesSettings(patch_mm=60.0), FILM, BREAST, reference, GRID)
    assert patch.image.shape == patch.breast.shape == (120, 120)
    assert patch.spacing_mm == 0.5
    assert patch.corner == (150 / 4, 60 / 4)
    np.testing.assert_array_equal(patch.image, FILM[150:270, 60:180])
    assert patch.mask is not None
    np.testing.assert_array_equal(patch.mask, rectangle(50, 40, 70, 80, (120, 120)))
    assert patch.breast.all()


def test_patch_at_the_border_is_black_outside_the_film() -> None:
    reference = Reference(rectangle(0, 0, 10, 10), (0, 0, 10, 10))
    patch = cut_patch(ImagesSettings(patch_mm=60.0), FILM, BREAST, reference, GRID)
    assert patch.corner == (-55 / 4, -55 / 4)
    assert not patch.image[:55].any()
    assert not patch.image[:, :55].any()
    np.testing.assert_array_equal(patch.image[55:, 55:], FILM[:65, :65])
    expected = np.zeros((120, 120), dtype=bool)
    expected[55 + 40 :, 55:] = True  # the breast begins at canonical row 10, film row 40
    assert (patch.breast != expected).sum() <= 120


def test_patch_grows_with_the_lesion() -> None:
    reference = Reference(None, (100.0, 50.0, 300.0, 250.0))
    patch = cut_patch(ImagesSettings(patch_mm=60.0), FILM, BREAST, reference, GRID)
    assert patch.image.shape[0] * 0.5 == 100 + 30
    assert patch.mask is None


def test_patch_at_a_coarser_spacing() -> None:
    reference = Reference(rectangle(200, 100, 220, 140), (200, 100, 220, 140))
    patch = cut_patch(ImagesSettings(patch_mm=60.0, patch_spacing_mm=1.0), FILM, BREAST, reference, GRID)
    assert patch.image.shape == (60, 60)
    assert patch.spacing_mm == 1.0
    means = FILM[150:270, 60:180].reshape(60, 2, 60, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(patch.image, means, atol=0.51)
    assert patch.mask is not None
    np.testing.assert_array_equal(patch.mask, rectangle(25, 20, 35, 40, (60, 60)))


def test_patch_is_never_finer_than_the_film() -> None:
    reference = Reference(None, (200.0, 100.0, 220.0, 140.0))
    patch = cut_patch(ImagesSettings(patch_mm=60.0, patch_spacing_mm=0.01), FILM, BREAST, reference, GRID)
    assert patch.spacing_mm == 0.5


def test_patch_of_an_absurd_spacing_stays_small() -> None:
    grid = FilmGrid(stored=(400, 300), film=(400, 300), canonical=(100, 75), spacing_mm=0.005)
    reference = Reference(None, (0.0, 0.0, 10.0, 10.0))
    patch = cut_patch(ImagesSettings(patch_mm=1000.0), FILM, BREAST, reference, grid)
    assert patch.image.shape == (800, 800)


def test_patch_mask_and_canonical_mask_agree() -> None:
    rows, columns = np.ogrid[:400, :300]
    mask = ((rows - 200) / 40) ** 2 + ((columns - 120) / 25) ** 2 < 1
    reference = Reference(mask, (161, 96, 240, 145))
    patch = cut_patch(ImagesSettings(patch_mm=60.0), FILM, BREAST, reference, GRID)
    assert patch.mask is not None
    # A canonical pixel is four patch pixels wide; it belongs to the mask where more than half of it is covered.
    edges = [(np.arange(side + 1) - corner) * 4 for side, corner in zip(GRID.canonical, patch.corner, strict=True)]
    canonical = covered_share(patch.mask, *edges) > 0.5
    np.testing.assert_array_equal(canonical, shrink_mask(mask, GRID.canonical))
