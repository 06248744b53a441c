"""Correlation of Dice with diameter, held to scipy and to a bootstrap by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_up_scores import Table, one
from scipy import stats

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.segmentation_diameter import diameter_correlation
from mammoflow.evaluation.segmentation_summary import ORACLE, OTHER_TOOL

BOOTSTRAP = PatientBootstrap(400, 0.95, 3)


def diameter_rows(size: list[float], dice: list[float], patients: list[str], split: str = "test") -> Table:
    facts = {"model": "small", "split": split, "mark": "", "patient_id": patients, "diameter_mm": size, "dice": dice}
    return pd.DataFrame(facts)


def test_correlation_of_each_split_and_its_p_values_are_those_of_scipy() -> None:
    generator = np.random.default_rng(6)
    size = generator.uniform(4, 40, 36)
    dice = np.round(0.9 - size / 90 + generator.normal(0, 0.1, 36), 1)  # rounded, so that ranks are tied
    patients = [f"P{place // 3}" for place in range(36)]
    table = diameter_rows(size.tolist(), dice.tolist(), patients)
    table.loc[30:, "split"] = "train"
    table.loc[[2, 11], "diameter_mm"] = np.nan
    found = diameter_correlation(table, BOOTSTRAP)
    for split, rows in (("test", table[:30]), ("all", table)):
        kept = rows[rows["diameter_mm"].notna()]
        row = one(found, split=split)
        r = stats.pearsonr(kept["diameter_mm"], kept["dice"])
        rho = stats.spearmanr(kept["diameter_mm"], kept["dice"])
        assert (row["n"], row["patients"]) == (len(kept), kept["patient_id"].nunique())
        assert (row["r"], row["r_p"]) == pytest.approx((r.statistic, r.pvalue))
        assert (row["rho"], row["rho_p"]) == pytest.approx((rho.statistic, rho.pvalue))
        # The stated null hypothesis, from the formula: t with n - 2 degrees of freedom, two-sided.
        for name in ("r", "rho"):
            t = row[name] * np.sqrt((len(kept) - 2) / (1 - row[name] ** 2))
            assert row[f"{name}_p"] == pytest.approx(2 * stats.t.sf(abs(t), len(kept) - 2))


def test_intervals_of_the_correlation_agree_with_drawing_patients_one_by_one() -> None:
    generator = np.random.default_rng(8)
    base = generator.uniform(5, 30, 20)
    size = np.repeat(base, 2) + generator.normal(0, 1, 40)
    dice = 0.4 + size / 80 + np.repeat(generator.normal(0, 0.08, 20), 2) + generator.normal(0, 0.01, 40)
    patients = [f"P{place // 2:02d}" for place in range(40)]
    row = one(
        diameter_correlation(diameter_rows(list(size), list(dice), patients), PatientBootstrap(1500, 0.95, 1)),
        split="test",
    )
    found: dict[str, list[float]] = {"r": [], "rho": []}
    for _ in range(1500):
        rows = np.concatenate([[2 * patient, 2 * patient + 1] for patient in generator.integers(0, 20, 20)])
        found["r"].append(stats.pearsonr(size[rows], dice[rows]).statistic)
        found["rho"].append(stats.spearmanr(size[rows], dice[rows]).statistic)
    for name, values in found.items():
        low, high = np.quantile(values, [0.025, 0.975])
        assert [row[f"{name}_low"], row[f"{name}_high"]] == pytest.approx([low, high], abs=0.1 * (high - low)), name


def test_each_draw_is_ranked_anew() -> None:
    size, dice = [5.0, 9, 14, 22, 30, 31, 40], [0.9, 0.2, 0.5, 0.6, 0.4, 0.8, 0.7]
    patients = list("aabcdef")
    row = one(diameter_correlation(diameter_rows(size, dice, patients), BOOTSTRAP), split="test")
    draws = [np.repeat(np.arange(7), weights.astype(int)) for weights in BOOTSTRAP.weights(patients)[1:]]
    rho = [
        stats.spearmanr(np.array(size)[rows], np.array(dice)[rows]).statistic for rows in draws if len(set(rows)) > 1
    ]
    assert [row["rho_low"], row["rho_high"]] == pytest.approx(np.quantile(rho, [0.025, 0.975]))


def test_p_values_of_patients_do_not_gain_from_repeated_lesions() -> None:
    generator = np.random.default_rng(3)
    size = generator.uniform(5, 30, 12).tolist()
    dice = (np.array(size) / 100 + generator.normal(0.4, 0.1, 12)).tolist()
    patients = [f"P{place:02d}" for place in range(12)]
    once = one(diameter_correlation(diameter_rows(size, dice, patients), BOOTSTRAP), split="test")
    thrice = one(diameter_correlation(diameter_rows(size * 3, dice * 3, patients * 3), BOOTSTRAP), split="test")
    assert thrice["r_p"] < 0.2 * once["r_p"]
    for name in ("r", "r_low", "r_high", "rho", "patients_r", "patients_r_p", "patients_rho_p"):
        assert thrice[name] == pytest.approx(once[name]), name


@pytest.mark.parametrize("lesions", [0, 2])
def test_too_few_lesions_have_no_correlation_and_are_counted(lesions: int) -> None:
    table = diameter_rows([5.0, 7.0, 9.0], [0.2, 0.6, 0.5], ["P1", "P2", "P3"], "train")
    table.loc[: lesions - 1, "split"] = "test"
    found = diameter_correlation(table, BOOTSTRAP)
    assert one(found, split="test")["n"] == lesions
    assert one(found, split="test")[["r", "rho", "r_p", "r_low", "patients_r"]].isna().all()
    assert one(found, split="all")["r"] == pytest.approx(np.corrcoef([5, 7, 9], [0.2, 0.6, 0.5])[0, 1])


@pytest.mark.parametrize("mark", [OTHER_TOOL, ORACLE, ""])
def test_the_correlation_has_the_mark_of_its_masks(mark: str) -> None:
    table = diameter_rows([4.0, 8.0, 16.0, 30.0], [0.2, 0.5, 0.4, 0.8], ["P1", "P2", "P3", "P4"]).assign(mark=mark)
    assert set(diameter_correlation(table, BOOTSTRAP)["mark"]) == {mark}
