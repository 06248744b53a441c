from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mammoflow.errors import ExcludedCase
from mammoflow.features.families.descriptors import Options, open_family
from mammoflow.features.lesion_patch import LesionPatch
from mammoflow.features.outline import outline_of
from mammoflow.features.spots import find_spots, top_hat

SPACING, SIDE = 0.1, 300
Y, X = np.mgrid[:SIDE, :SIDE] + 0.5 - SIDE / 2
RADIUS, ANGLE = np.hypot(Y, X), np.arctan2(Y, X)
EVERYWHERE = np.ones((SIDE, SIDE), dtype=bool)


def describe(image: np.ndarray, mask: np.ndarray, breast: np.ndarray = EVERYWHERE, **options: float) -> dict:
    options = {"surround_mm": 6.0, "margin_mm": 3.0} | options
    row = open_family(Options(**options), "cpu")(LesionPatch(image.astype(np.float32), mask, breast, SPACING))
    return {name.removeprefix("descriptors_"): value for name, value in row.items()}


def ball(sigma_mm: float, mask: np.ndarray = RADIUS < 60, noise: float = 100.0) -> np.ndarray:
    edge = gaussian_filter(np.where(mask, 40000.0, 20000.0), sigma_mm / SPACING)
    return edge + np.random.default_rng(0).normal(0, noise, mask.shape)


@pytest.mark.parametrize("sigma_mm", [0.3, 0.8])
def test_margin_width_is_that_of_a_blurred_edge(sigma_mm):
    found = describe(ball(sigma_mm), RADIUS < 60, margin_mm=4.0)
    assert found["margin_width_mm"] == pytest.approx(math.sqrt(2 * math.pi) * math.hypot(sigma_mm, 0.3), rel=0.04)


@pytest.mark.parametrize("sigma_mm", [0.3, 0.8])
@pytest.mark.parametrize(
    ("diameter_mm", "defined"), [(2, ()), (3, (0.3,)), (4, (0.3,)), (5, (0.3, 0.8)), (6, (0.3, 0.8))]
)
def test_profiles_do_not_leave_a_narrow_lesion_on_its_other_side(sigma_mm, diameter_mm, defined):
    mask = diameter_mm / 2 / SPACING > RADIUS
    found, large = (describe(ball(sigma_mm, one), one, margin_mm=4.0) for one in (mask, RADIUS < 60))
    for name in ("margin_width_mm", "acutance"):
        if sigma_mm in defined:
            assert found[name] == pytest.approx(large[name], rel=0.05)
        else:
            assert math.isnan(found[name])
            assert "expected at least the width of its margin" in found["detail"]
    assert "status" not in found


def test_margin_without_a_profile_in_the_breast_is_told():
    mask = RADIUS < 20
    found = describe(ball(0.3, mask), mask, breast=RADIUS < 55, minimum_share=0.0)
    assert math.isnan(found["acutance"])
    assert "margin: no profile of 3 mm across the border stays in the breast" in found["detail"]


def test_sharp_margin_has_the_greater_acutance_and_exposure_changes_no_width():
    sharp, soft = (describe(ball(sigma), RADIUS < 60) for sigma in (0.3, 1.0))
    assert sharp["acutance"] > 1.4 * soft["acutance"]
    darker = describe(0.5 * ball(0.3), RADIUS < 60)
    assert darker["margin_width_mm"] == pytest.approx(sharp["margin_width_mm"], rel=1e-4)
    assert darker["contrast"] == pytest.approx(sharp["contrast"], rel=1e-4)
    assert darker["acutance"] == pytest.approx(sharp["acutance"] / 2, rel=1e-4)


def test_acutance_of_a_ramp_is_half_its_slope_on_each_side():
    # Levels fall by 2000 for each millimetre from the centre; (f - b) / 2i is then the slope itself.
    found = describe(50000 - 2000 * RADIUS * SPACING, RADIUS < 60, smoothing_mm=0.1)
    assert found["acutance"] == pytest.approx(2000 / 65535, rel=0.01)


def test_shape_of_circle_and_ellipse():
    circle = describe(ball(0.3), RADIUS < 60)
    assert circle["elongation"] == pytest.approx(0, abs=1e-3)
    assert circle["circularity"] == pytest.approx(1, abs=0.01)
    assert circle["radial_std"] < 0.01
    assert circle["radial_crossings"] == 0
    inside = (Y / 30) ** 2 + (X / 60) ** 2 < 1
    ellipse = describe(ball(0.3, inside), inside)
    # Perimeter of an ellipse by Ramanujan's first formula.
    perimeter = math.pi * (3 * 90 - math.sqrt((3 * 60 + 30) * (60 + 3 * 30)))
    assert ellipse["elongation"] == pytest.approx(0.5, abs=0.01)
    assert ellipse["circularity"] == pytest.approx(4 * math.pi * math.pi * 60 * 30 / perimeter**2, rel=0.02)
    assert ellipse["radial_crossings"] == 4


def test_a_second_piece_changes_the_elongation_and_no_radius():
    disc = RADIUS < 40
    both = disc | (np.hypot(Y, X - 80) < 20)
    alone, found = describe(ball(0.3, disc), disc), describe(ball(0.3, both), both)
    for name in ("circularity", "radial_std", "radial_crossings"):
        assert found[name] == pytest.approx(alone[name], abs=1e-3)
    assert found["elongation"] > alone["elongation"] + 0.4


def test_star_has_crossings_and_lines_away_from_it_are_spicules():
    star = (RADIUS - 12 * np.sin(8 * ANGLE)) < 50
    assert describe(ball(0.3, star), star)["radial_crossings"] == 16
    spokes = 20000 + 4000 * np.sin(40 * ANGLE) + ball(0.3) - 20000
    rings = 20000 + 4000 * np.sin(RADIUS) + ball(0.3) - 20000
    noise = ball(0.3, noise=6000.0)
    values = [describe(image, RADIUS < 60)["spiculation"] for image in (rings, noise, spokes)]
    assert values[0] < 0.1
    assert values[1] == pytest.approx(0.5, abs=0.1)
    assert values[2] > 0.8


def test_contrast_by_hand():
    found = describe(np.where(RADIUS < 60, 30000.0 + 100 * np.sign(X), np.where(X < 0, 8000.0, 12000.0)), RADIUS < 60)
    assert found["contrast"] == pytest.approx((30000 - 10000) / 40000, rel=1e-3)
    assert found["contrast_to_noise"] == pytest.approx(20000 / 2000, rel=1e-3)
    assert found["breast_share"] == 1


def test_spots_are_counted_and_measured():
    image = ball(0.3)
    for y, x in ((120, 130), (150, 170), (180, 130)):
        image[y : y + 3, x : x + 4] += 8000
    image[20:23, 20:23] += 8000  # outside the lesion
    image += 8000 * np.exp(-((RADIUS / 40) ** 2))  # too wide
    found = describe(image, RADIUS < 60)
    assert found["spots_count"] == 3
    assert found["spots_size_mm2"] == pytest.approx(12 * SPACING**2)
    places = SPACING * np.array([(121, 131.5), (151, 171.5), (181, 131.5)])
    expected = math.sqrt(((places - places.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert found["spots_spread_mm"] == pytest.approx(expected)
    assert "detail" not in found


def test_without_spots_size_and_spread_are_empty_and_the_row_says_so():
    found = describe(ball(0.3), RADIUS < 60)
    assert found["spots_count"] == 0
    assert math.isnan(found["spots_size_mm2"])
    assert found["detail"] == "no bright spot, so spots have no size and no spread"
    assert "status" not in found


def test_coarse_pixels_have_no_spots():
    found = describe(ball(0.3), RADIUS < 60, spot_mm=0.15)
    assert math.isnan(found["spots_count"])
    assert "do not resolve spots of 0.15 mm" in found["detail"]


def test_surround_outside_the_breast_is_told_and_shape_stays():
    found = describe(ball(0.3), RADIUS < 60, breast=RADIUS < 62)
    assert found["status"] == "features are not defined for this lesion"
    assert "surround: 0.0% of it is in the breast" in found["detail"]
    assert math.isnan(found["contrast"])
    assert found["circularity"] > 0.9


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 2), (2, 1), (1, 9)])
def test_pixels_and_lines_are_refused(rows, columns):
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[150 : 150 + rows, 150 : 150 + columns] = True
    with pytest.raises(ExcludedCase, match=f"the mask has {rows} x {columns} pixels"):
        describe(ball(0.3), mask)


def test_flat_lesion_is_refused():
    with pytest.raises(ExcludedCase, match="have grey level 500"):
        describe(np.where(RADIUS < 60, 500.0, ball(0.3)), RADIUS < 60)


def test_outline_runs_along_the_border_of_a_disc():
    outline = outline_of(RADIUS < 40)
    assert outline is not None
    away = outline.points - SIDE / 2
    np.testing.assert_allclose(np.linalg.norm(away, axis=1), 40, atol=0.35)
    cosines = (away * outline.normals).sum(axis=1) / np.linalg.norm(away, axis=1)
    assert cosines.min() > 0.98


def test_top_hat_is_that_of_scikit_image():
    from skimage.morphology import disk, white_tophat

    image = np.random.default_rng(1).integers(0, 65535, (40, 50)).astype(np.float32)
    np.testing.assert_array_equal(top_hat(image, 6.0)[5:-5, 5:-5], white_tophat(image, disk(3))[5:-5, 5:-5])


def test_no_background_has_no_spots():
    areas, places = find_spots(ball(0.3).astype(np.float32), RADIUS < 60, RADIUS < 0, SPACING, 1.0, 5.0)
    assert areas.shape == (0,)
    assert places.shape == (0, 2)
