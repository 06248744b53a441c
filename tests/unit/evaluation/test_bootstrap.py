from __future__ import annotations

import time

import numpy as np
import pytest

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.metrics import measure

BOOTSTRAP = PatientBootstrap(resamples=2000, confidence=0.95, seed=1)


def test_all_rows_of_a_patient_are_drawn_together() -> None:
    patients = ["b", "a", "b", "c", "a", "b"]
    weights = BOOTSTRAP.weights(patients)
    assert weights.shape == (2001, 6)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    # One patient in place of another: every draw has as many patients as the study.
    assert (weights[1:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_models_on_the_same_patients_share_their_draws() -> None:
    again = PatientBootstrap(2000, 0.95, 1).weights(["a", "b", "c"])
    assert (BOOTSTRAP.weights(["a", "b", "c"]) == again).all()
    assert (PatientBootstrap(2000, 0.95, 2).weights(["a", "b", "c"]) != again).any()


def test_interval_of_a_mean_is_that_of_theory() -> None:
    random = np.random.default_rng(0)
    values = random.normal(5, 2, 400)
    estimate = BOOTSTRAP.mean(values, [str(patient) for patient in range(400)])
    half = 1.96 * values.std() / 20
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - half, abs=0.03)
    assert estimate.high == pytest.approx(values.mean() + half, abs=0.03)


def test_repeating_every_patients_rows_makes_no_interval_narrower() -> None:
    random = np.random.default_rng(0)
    values = random.normal(0, 1, 60)
    patients = [f"{patient:02d}" for patient in range(60)]
    once = BOOTSTRAP.mean(values, patients)
    fourfold = BOOTSTRAP.mean(np.tile(values, 4), patients * 4)
    assert (fourfold.low, fourfold.high) == pytest.approx((once.low, once.high))
    as_if_independent = BOOTSTRAP.mean(np.tile(values, 4), [f"{row:03d}" for row in range(240)])
    assert as_if_independent.high - as_if_independent.low < 0.7 * (once.high - once.low)


def test_an_interval_that_most_resamples_do_not_define_is_not_given() -> None:
    values = np.full(2001, np.nan)
    values[0] = 0.7
    values[1:900] = 0.6
    estimate = BOOTSTRAP.estimate(values, ["a", "b"])
    assert estimate.value == 0.7
    assert estimate.resamples == 899
    assert np.isnan(estimate.low)
    values[900:1500] = 0.8
    assert BOOTSTRAP.estimate(values, ["a", "b"]).low == pytest.approx(0.6)


def test_one_patient_or_none_has_no_interval() -> None:
    single = BOOTSTRAP.mean(np.array([1.0, 2.0]), ["a", "a"])
    assert single.value == 1.5
    assert np.isnan(single.low)
    assert np.isnan(single.high)
    assert np.isnan(BOOTSTRAP.mean(np.zeros(0), []).value)


def test_a_wider_coverage_gives_a_wider_interval() -> None:
    values, patients = np.arange(40.0), [str(patient) for patient in range(40)]
    narrow = PatientBootstrap(1000, 0.5, 1).mean(values, patients)
    wide = PatientBootstrap(1000, 0.99, 1).mean(values, patients)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_fifteen_models_on_four_hundred_rows_take_seconds() -> None:
    random = np.random.default_rng(0)
    label = (random.random(400) < 0.4).astype(float)
    patients = [str(row // 2) for row in range(400)]
    bootstrap = PatientBootstrap(1000, 0.95, 0)
    start = time.process_time()
    for _ in range(15):
        score = random.random(400)
        measure(label, score, (score > 0.5).astype(float), bootstrap.weights(patients))
    assert time.process_time() - start < 10
