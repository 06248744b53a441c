from __future__ import annotations

import math

import numpy as np
import pytest

from mammoflow.features.families.gabor import GaborTexture, Options, open_family
from mammoflow.features.lesion_patch import LesionPatch

from .conftest import disc_mask

SPACING = 0.5
SIDE = 200
MIDDLE = (50.0, 50.0)


def texture(**options: object) -> GaborTexture:
    return open_family(Options.model_validate(options), "cpu")


def waves(wavelength_mm: float, degrees: float) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE] * SPACING
    angle = math.radians(degrees)
    return 30000 + 5000 * np.cos(2 * np.pi / wavelength_mm * (x * np.cos(angle) + y * np.sin(angle)))


def patch_of(image: np.ndarray, breast: np.ndarray | None = None, centre: tuple[float, float] = MIDDLE) -> LesionPatch:
    mask = disc_mask((SIDE, SIDE), (SPACING, SPACING), centre, 6.0)
    breast = np.ones((SIDE, SIDE), dtype=bool) if breast is None else breast
    return LesionPatch(image.astype(np.float32), mask, breast, SPACING)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(30000, 3000, (SIDE, SIDE))


def test_one_texture_everywhere_is_alike():
    row = texture()(patch_of(waves(4.0, 60)))
    assert row["gabor_similarity_mean"] == pytest.approx(1, abs=1e-3)
    assert row["gabor_similarity_pooled"] == pytest.approx(1, abs=1e-3)
    assert row["gabor_inner_mean_w4.0_o060"] == pytest.approx(row["gabor_ring_mean_w4.0_o060"], rel=0.01)
    assert row["gabor_inner_mean_w4.0_o060"] == pytest.approx(2500 / 65535, rel=0.02)


def test_turned_texture_in_the_lesion_is_unlike_until_orientations_are_pooled():
    inside = disc_mask((SIDE, SIDE), (SPACING, SPACING), MIDDLE, 22.0)
    row = texture()(patch_of(np.where(inside, waves(4.0, 30), waves(4.0, 120))))
    assert row["gabor_similarity_mean"] < 0.3
    assert row["gabor_similarity_pooled"] > 0.95


def test_other_wavelength_in_the_lesion_is_unlike():
    inside = disc_mask((SIDE, SIDE), (SPACING, SPACING), MIDDLE, 22.0)
    row = texture()(patch_of(np.where(inside, waves(2.0, 30), waves(8.0, 30))))
    assert row["gabor_similarity_pooled"] < 0.3


def test_exposure_does_not_change_the_similarity():
    bright = texture()(patch_of(noise()))
    dark = texture()(patch_of(0.5 * noise() + 3000))
    assert dark["gabor_similarity"] == pytest.approx(bright["gabor_similarity"], abs=1e-6)
    assert dark["gabor_ring_std_w2.0_o000"] == pytest.approx(bright["gabor_ring_std_w2.0_o000"] / 2, rel=1e-4)


def test_turning_the_film_turns_the_features():
    upright = texture()(patch_of(noise(), centre=(45.0, 52.0)))
    turned = texture()(patch_of(np.rot90(noise(), -1), centre=(52.0, 55.0)))
    assert turned["gabor_inner_mean_w4.0_o120"] == pytest.approx(upright["gabor_inner_mean_w4.0_o030"], rel=1e-4)
    assert turned["gabor_similarity_pooled"] == pytest.approx(upright["gabor_similarity_pooled"], abs=1e-6)


def test_bright_label_outside_the_breast_changes_nothing():
    breast = disc_mask((SIDE, SIDE), (SPACING, SPACING), (50.0, 20.0), 55.0)
    clean, labelled = noise(), np.where(breast, noise(), 65000)
    first, second = texture()(patch_of(clean, breast)), texture()(patch_of(labelled, breast))
    np.testing.assert_equal(first, second)
    assert 0 < first["ring_share"] < 1


def test_bright_line_along_the_film_edge_is_left_out():
    film = np.zeros((SIDE, SIDE), dtype=bool)
    film[:, 60:] = True
    lined = noise()
    lined[:, 60:62] = 65000
    clean, marked = texture()(patch_of(noise(), film)), texture()(patch_of(lined, film))
    np.testing.assert_equal(marked, clean)
    assert texture(edge_mm=0.0)(patch_of(lined, film))["gabor_similarity"] < clean["gabor_similarity"] - 0.01


def test_waves_that_the_pixels_do_not_resolve_are_not_defined():
    row = texture()(patch_of(noise()))  # 0.5 mm pixels resolve 1.33 mm at one octave
    assert math.isnan(row["gabor_inner_mean_w1.0_o000"])
    assert row["gabor_inner_mean_w2.0_o000"] > 0
    assert row["wavelengths"] == 3
    assert "status" not in row


def test_film_too_coarse_for_the_whole_bank_is_told():
    row = texture(wavelengths_mm=[0.5, 1.0])(patch_of(noise()))
    assert row["status"] == "features are not defined for this lesion"
    assert "0.5 mm" in row["detail"]
    assert math.isnan(row["gabor_similarity"])


def test_ring_outside_the_breast_leaves_the_region_around_the_lesion():
    breast = disc_mask((SIDE, SIDE), (SPACING, SPACING), MIDDLE, 25.0)
    row = texture()(patch_of(noise(), breast))
    assert row["ring_pixels"] == 0
    assert row["gabor_inner_mean_w4.0_o000"] > 0
    assert math.isnan(row["gabor_ring_mean_w4.0_o000"])
    assert math.isnan(row["gabor_similarity"])
    assert "ring: 0.0% of the region is in the breast, expected at least 10.0%" in row["detail"]


def test_a_lesion_is_measured_only_where_the_breast_is():
    half = np.zeros((SIDE, SIDE), dtype=bool)
    half[:, 100:] = True
    family = texture(regions=["lesion", "inner", "ring"], edge_mm=0.0, minimum_share=0.0)
    cut, whole = family(patch_of(waves(4.0, 90), half)), family(patch_of(waves(4.0, 90)))
    assert cut["gabor_lesion_mean_w4.0_o090"] == pytest.approx(whole["gabor_lesion_mean_w4.0_o090"], rel=0.2)
    patch = patch_of(waves(4.0, 90), half)
    tissue_alone = LesionPatch(patch.image, patch.mask & half, half, SPACING)
    assert cut["gabor_lesion_mean_w4.0_o090"] == family(tissue_alone)["gabor_lesion_mean_w4.0_o090"]
    assert cut["lesion_share"] == pytest.approx(0.5, abs=0.02)
    assert "status" not in cut


def test_a_lesion_beside_the_breast_has_no_texture_and_the_row_says_so():
    beside = np.zeros((SIDE, SIDE), dtype=bool)
    beside[:, 120:] = True
    row = texture(regions=["lesion", "inner", "ring"], minimum_share=0.0)(patch_of(noise(), beside))
    assert math.isnan(row["gabor_lesion_mean_w4.0_o000"])
    assert row["gabor_ring_mean_w4.0_o000"] > 0
    assert row["status"] == "features are not defined for this lesion"
    assert "lesion: no pixel of the region is in the breast without its edge; expected at least one" in row["detail"]
    nowhere = texture(regions=["lesion", "inner", "ring"])(patch_of(noise(), np.zeros((SIDE, SIDE), dtype=bool)))
    assert math.isnan(nowhere["gabor_lesion_mean_w4.0_o000"])


def test_smallest_share_decides_whether_a_region_counts():
    half = np.zeros((SIDE, SIDE), dtype=bool)
    half[:, :100] = True
    assert math.isnan(texture(minimum_share=0.6)(patch_of(noise(), half))["gabor_similarity"])
    assert texture(minimum_share=0.4)(patch_of(noise(), half))["gabor_similarity"] > 0.9


def test_columns_are_those_that_a_row_gives():
    one = texture()
    row = one(patch_of(noise()))
    assert set(row) == {*one.columns, *one.description}
    assert len(one.columns) == len(set(one.columns)) == 3 + 2 * 2 * 4 * 6
