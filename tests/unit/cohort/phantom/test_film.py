from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mammoflow.cohort.phantom.anatomy import DENSE_SHARE, dense_tissue, draw_geometry, power_law_field
from mammoflow.cohort.phantom.appearance import CalcificationAppearance, MassAppearance
from mammoflow.cohort.phantom.film import Film, draw_film
from mammoflow.cohort.phantom.lesions import draw_calcification_on, draw_mass_on
from mammoflow.cohort.phantom.population import draw_study
from mammoflow.config.phantom import PhantomSettings

SMOOTH = MassAppearance(1.0, 0.0, 0.0, 0.4, 0, 0.5, 0.0)
SPICULATED = MassAppearance(0.8, 0.05, 0.12, 0.6, 14, 0.8, 0.3)


@pytest.fixture(scope="module")
def films() -> list[Film]:
    breasts = draw_study(PhantomSettings(patients=40, spacing_mm=1.0))
    return [draw_film(breast, view) for breast in breasts for view in breast.views]


@pytest.mark.parametrize("exponent", [2.0, 3.0])
def test_noise_has_the_power_spectrum_that_is_asked_for(exponent: float) -> None:
    spacing = 0.5
    powers = []
    for seed in range(4):
        field = power_law_field(np.random.default_rng(seed), (512, 400), spacing, exponent)
        assert field.shape == (512, 400)
        assert field.mean() == pytest.approx(0, abs=0.01)
        window = np.hanning(512)[:, None] * np.hanning(400)[None, :]
        powers.append(np.abs(np.fft.fft2(field * window)) ** 2)
    power = np.mean(powers, axis=0)
    frequency = np.hypot(np.fft.fftfreq(512, spacing)[:, None], np.fft.fftfreq(400, spacing)[None, :])
    bands = np.geomspace(0.05, 0.8, 12)
    middle = np.sqrt(bands[:-1] * bands[1:])
    means = [power[(frequency >= a) & (frequency < b)].mean() for a, b in pairwise(bands)]
    slope = np.polyfit(np.log(middle), np.log(means), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.15)


@pytest.mark.parametrize("density", [1, 2, 3, 4])
def test_dense_share_follows_the_density_category(density: int) -> None:
    geometry = draw_geometry(7, "CC", 0.8)
    gland = dense_tissue(np.random.default_rng(3), geometry, density)
    share = float(np.mean(gland[geometry.breast] > 0.35))
    assert share == pytest.approx(DENSE_SHARE[density], abs=0.15)


def test_only_the_oblique_view_has_a_pectoral_muscle_at_the_upper_chest_wall() -> None:
    for seed in range(10):
        craniocaudal, oblique = draw_geometry(seed, "CC", 1.0), draw_geometry(seed, "MLO", 1.0)
        assert not (craniocaudal.muscle_mm > 0).any()
        assert oblique.muscle_mm[0, 0] > 0
        assert oblique.muscle_mm[-1, 0] < 0
        assert oblique.muscle_mm[0, -1] < 0
        for geometry in (craniocaudal, oblique):
            assert geometry.breast[:, 0].any()
            assert not geometry.breast[:, -1].any(), "the nipple stays on the film"


@pytest.mark.parametrize("spacing", [0.2, 0.5])
@pytest.mark.parametrize("appearance", [SMOOTH, SPICULATED])
def test_a_mass_covers_the_disc_of_its_diameter_whatever_its_form(appearance: MassAppearance, spacing: float) -> None:
    for seed in range(5):
        drawn = draw_mass_on(seed, "CC", appearance, 16.0, 0.5, spacing)
        area = float(drawn.mask.sum()) * spacing**2
        assert area == pytest.approx(np.pi * 8.0**2, rel=0.15)


def test_form_and_margin_do_not_change_the_brightness_of_a_mass() -> None:
    smooth = [draw_mass_on(seed, "CC", SMOOTH, 16.0, 0.5, 0.25) for seed in range(5)]
    spiculated = [draw_mass_on(seed, "CC", SPICULATED, 16.0, 0.5, 0.25) for seed in range(5)]
    means = [np.mean([drawn.added[drawn.mask].mean() for drawn in group]) for group in (smooth, spiculated)]
    assert means[0] == pytest.approx(means[1], rel=0.1)
    outside = [np.mean([drawn.added[~drawn.mask].sum() for drawn in group]) for group in (smooth, spiculated)]
    assert outside[1] > 2 * outside[0], "spicules leave the outline"


def test_finer_particles_are_fainter_and_all_lie_in_the_mask() -> None:
    coarse = CalcificationAppearance(20, 0.5, 0.1, 1.0, 0.5, 0.9, False)
    fine = CalcificationAppearance(20, 0.2, 0.1, 1.0, 0.5, 0.9, False)
    for seed in range(4):
        drawn, fainter = (draw_calcification_on(seed, "MLO", group, 15.0, 0.5, 0.25) for group in (coarse, fine))
        assert drawn.added[drawn.mask].sum() > 0.97 * drawn.added.sum()
        assert fainter.added.max() < drawn.added.max()
        diameter = 2 * np.sqrt(float(drawn.mask.sum()) * 0.25**2 / np.pi)
        assert 12.0 < diameter < 20.0


def test_films_are_the_same_each_time_they_are_drawn() -> None:
    breast = draw_study(PhantomSettings(patients=6, spacing_mm=0.8))[0]
    first, second = draw_film(breast, breast.views[0]), draw_film(breast, breast.views[0])
    assert np.array_equal(first.pixels, second.pixels)
    assert all(np.array_equal(a, b) for a, b in zip(first.masks, second.masks, strict=True))


def test_masks_lie_in_the_breast_and_do_not_touch_one_another(films: list[Film]) -> None:
    for film in films:
        breast = film.geometry.breast[:, ::-1] if film.breast.laterality == "R" else film.geometry.breast
        assert len(film.masks) == len(film.findings) == len({f.finding_id for f in film.findings})
        for mask in film.masks:
            assert mask.any()
            assert (mask & breast).sum() >= 0.9 * mask.sum()
        assert not film.masks or np.sum(film.masks, axis=0).max() <= 1


def test_the_background_is_dark_and_a_right_breast_hangs_on_the_right(films: list[Film]) -> None:
    for film in films:
        left, right = np.array_split(film.pixels.astype(float), 2, axis=1)
        assert (left.mean() > right.mean()) == (film.breast.laterality == "L")
        breast = film.geometry.breast[:, ::-1] if film.breast.laterality == "R" else film.geometry.breast
        assert np.median(film.pixels[~breast]) < 0.25 * np.median(film.pixels[breast])


def test_the_word_phantom_is_burned_in_outside_the_breast() -> None:
    for breast in draw_study(PhantomSettings(patients=6, spacing_mm=0.4)):
        film = draw_film(breast, breast.views[-1])
        body = film.geometry.breast[:, ::-1] if breast.laterality == "R" else film.geometry.breast
        interior = np.zeros_like(body)
        margin = round(6 / breast.spacing_mm)
        interior[margin:-margin, margin:-margin] = True
        assert ((film.pixels > 40000) & ~body & interior).sum() > 20


def test_a_finding_is_as_far_from_the_nipple_in_one_view_as_in_the_other(films: list[Film]) -> None:
    depth: dict[str, list[float]] = {}
    for film in films:
        for finding, mask in zip(film.findings, film.masks, strict=True):
            unflipped = mask[:, ::-1] if finding.laterality == "R" else mask
            column = float(np.nonzero(unflipped)[1].mean()) * film.breast.spacing_mm
            depth.setdefault(finding.finding_id, []).append(film.geometry.nipple_x - column)
    apart = np.array([abs(values[0] - values[1]) for values in depth.values() if len(values) == 2])
    assert len(apart) > 30
    assert np.median(apart) < 4
    assert np.quantile(apart, 0.9) < 10


def test_size_and_grey_level_of_the_rendered_lesions_keep_below_the_bound() -> None:
    rows = []
    for breast in draw_study(PhantomSettings(patients=80, spacing_mm=1.0)):
        for view in breast.views:
            film = draw_film(breast, view)
            for finding, mask in zip(film.findings, film.masks, strict=True):
                grey = film.pixels[mask]
                area = mask.sum() * breast.spacing_mm**2
                rows.append((finding.malignant, finding.lesion_type == "mass", area, grey.mean(), grey.max()))
    table = np.array(rows, dtype=float)
    for chosen in (slice(None), table[:, 1] == 1, table[:, 1] == 0):
        for column in (2, 3, 4):
            area_under_curve = roc_auc_score(table[chosen, 0], table[chosen, column])
            assert 0.25 < area_under_curve < 0.75
