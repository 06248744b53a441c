from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mammoflow.features.families.gabor import Options, open_family
from mammoflow.features.gabor_bank import GaborBank, GaborFilter
from mammoflow.features.lesion_patch import LesionPatch

from .conftest import disc_mask

SPACING, SIDE = 0.5, 200
MASK = disc_mask((SIDE, SIDE), (SPACING, SPACING), (50.0, 50.0), 6.0)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(30000, 3000, (SIDE, SIDE)).astype(np.float32)


def row_of(image: np.ndarray, mask: np.ndarray = MASK, **options: object) -> dict:
    family = open_family(Options.model_validate({"wavelengths_mm": [4.0, 8.0], "orientations": 3} | options), "cpu")
    row = dict(family(LesionPatch(image, mask, np.ones((SIDE, SIDE), dtype=bool), SPACING)))
    assert set(row) <= {*family.columns, *family.description, "status", "detail"}
    return row


def test_statistics_are_those_of_the_magnitudes():
    bank = GaborBank([GaborFilter(8.0, 0.4), GaborFilter(16.0, 1.1)], torch.device("cpu"))
    names = ("mean", "std", "energy", "entropy")
    found = bank.statistics(noise(), [MASK], names)[0]
    for magnitude, values in zip(bank.magnitudes(noise()), found, strict=True):
        inside = magnitude[MASK].astype(np.float64)
        share = np.histogram(inside, bins=32, range=(0, inside.max()))[0] / inside.size
        entropy = -(share[share > 0] * np.log2(share[share > 0])).sum()
        expected = (inside.mean(), inside.std(), (inside**2).mean(), entropy)
        np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_entropy_does_not_depend_on_exposure_and_energy_does():
    statistics = ["mean", "std", "energy", "entropy"]
    bright, dark = (row_of(level * noise(), statistics=statistics) for level in (1.0, 0.5))
    assert dark["gabor_inner_entropy_w4.0_o060"] == pytest.approx(bright["gabor_inner_entropy_w4.0_o060"], abs=1e-3)
    assert dark["gabor_ring_energy_w8.0_o000"] == pytest.approx(bright["gabor_ring_energy_w8.0_o000"] / 4, rel=1e-4)
    assert dark["gabor_similarity"] == pytest.approx(row_of(noise())["gabor_similarity"], abs=1e-6)


def test_pooled_columns_are_the_mean_over_orientations_and_do_not_turn():
    upright = row_of(noise(), forms=["oriented", "pooled"], orientations=4)
    turned = row_of(np.rot90(noise()).copy(), np.rot90(MASK).copy(), forms=["pooled"], orientations=4)
    angles = [upright[f"gabor_inner_mean_w4.0_o{angle:03d}"] for angle in (0, 45, 90, 135)]
    assert upright["gabor_inner_mean_w4.0_pooled"] == pytest.approx(np.mean(angles))
    assert turned["gabor_inner_mean_w4.0_pooled"] == pytest.approx(upright["gabor_inner_mean_w4.0_pooled"], rel=1e-4)
    assert not [name for name in turned if "_o0" in name]


def test_lesion_and_shells_are_further_regions_and_change_no_other_column():
    plain = row_of(noise())
    more = row_of(noise(), regions=["inner", "ring", "lesion"], shells_mm=[[0.0, 5.0]])
    assert {name: more[name] for name in plain} == plain
    assert math.isfinite(more["gabor_shell0to5_std_w8.0_o120"])
    assert more["lesion_pixels"] == MASK.sum()


@pytest.mark.parametrize("values", [{"regions": ["inner"]}, {"statistics": ["mean"]}, {"forms": ["pooled", "pooled"]}])
def test_a_bank_without_what_is_compared_is_refused(values):
    with pytest.raises(ValidationError, match="expected"):
        Options.model_validate(values)


@pytest.mark.parametrize("columns", [1, 2])
def test_one_and_two_pixels_are_measured_around_and_a_flat_film_has_no_similarity(columns):
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[100, 100 : 100 + columns] = True
    assert row_of(noise(), mask, regions=["inner", "ring", "lesion"])["lesion_pixels"] == columns
    flat = row_of(np.full((SIDE, SIDE), 30000, dtype=np.float32), mask)
    assert math.isnan(flat["gabor_similarity"])
    assert flat["gabor_inner_mean_w4.0_o000"] == pytest.approx(0, abs=1e-7)
