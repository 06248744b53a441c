"""Differences of every two segmentation models, against values by hand; and the table in the report."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up_detections import made_up_run, maps
from made_up_scores import lesions_of, masks, one

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.clustered import clustered_p_value
from mammoflow.evaluation.segmentation_differences import DIFFERENCE_COLUMNS, segmentation_differences
from mammoflow.report.content import Tables
from mammoflow.report.exports import row_marks
from mammoflow.report.page import render
from mammoflow.report.segmentation import prompt_words, with_headings
from mammoflow.tables.detections import FOREIGN_MASKS, MAPS
from mammoflow.tables.files import empty_table, write_csv

BOOTSTRAP = PatientBootstrap(200, 0.95, 2, fewest_patients=3)
FIRST = {"P1a": 0.2, "P1b": 0.4, "P2a": 0.5, "P3a": 0.9}
SECOND = {"P1a": 0.6, "P1b": 0.4, "P2a": 0.8, "P3a": 0.8}


def table_of(*scores: pd.DataFrame, of_images: pd.DataFrame | None = None) -> pd.DataFrame:
    rows = pd.concat(scores)
    run = replace(made_up_run(), maps=empty_table(MAPS) if of_images is None else of_images)
    return segmentation_differences(run, rows, lesions_of(rows), BOOTSTRAP)


def test_models_are_compared_on_the_prompts_that_both_have() -> None:
    nowhere = masks({"P1a": 0.1}, model="one", iteration=2)
    table = table_of(masks(FIRST, model="one"), nowhere, masks(SECOND | {"P9a": 1.0}, model="two", seen=True))
    assert table.columns.tolist() == [*DIFFERENCE_COLUMNS]
    row = one(table, dice_of="lesions")
    assert row[["model_a", "model_b", "prompts", "margin_mm"]].tolist() == ["two", "one", "box", 10.0]
    assert row[["n", "patients", "patients_seen"]].tolist() == [4, 3, 3]
    assert (row["dice_a"], row["dice_b"]) == (pytest.approx(2.6 / 4), pytest.approx(2.0 / 4))
    assert row["dice_difference"] == pytest.approx(0.6 / 4)
    assert np.isnan(row["dice_difference_low"])  # three patients reject no difference
    # sums of the patients: .4 + 0, .3, -.1
    expected = math.erfc(0.6 / math.sqrt(2 * (0.4**2 + 0.3**2 + 0.1**2)))
    assert row["dice_difference_p"] == pytest.approx(expected)
    assert row["dice_difference_p_holm"] == pytest.approx(expected)  # one pair is not adjusted


def test_p_values_are_adjusted_for_the_pairs_of_the_same_prompts() -> None:
    third = {lesion: dice + 0.05 for lesion, dice in FIRST.items()}
    near = [masks(dice, model=model) for model, dice in {"one": FIRST, "two": SECOND, "three": third}.items()]
    far = [masks(dice, model=model, margin_mm=5.0) for model, dice in {"one": FIRST, "two": SECOND}.items()]
    # boxes that were drawn around the same lesion are different prompts
    drawn = [masks(FIRST, model="one", draw=draw) for draw in (1, 2)]
    table = table_of(*near, *far, *drawn, masks(SECOND, model="two", draw=2))
    at_ten = table[(table["margin_mm"] == 10) & (table["prompts"] == "box")]
    assert at_ten[["model_a", "model_b"]].to_numpy().tolist() == [["two", "one"], ["three", "one"], ["three", "two"]]
    assert at_ten["dice_difference"].tolist() == pytest.approx([0.15, 0.05, -0.1])
    smallest = at_ten["dice_difference_p"].min()
    assert one(at_ten, dice_difference_p=smallest)["dice_difference_p_holm"] == pytest.approx(3 * smallest)
    alone = one(table, margin_mm=5.0)
    assert alone["dice_difference_p_holm"] == alone["dice_difference_p"]
    assert one(table, prompts="box; drawn")["n"] == 4


def test_the_interval_has_the_differences_that_the_test_does_not_reject() -> None:
    random = np.random.default_rng(4)
    lesions = [f"P{patient}{letter}" for patient in range(12) for letter in "ab"[: 1 + patient % 2]]
    first = dict(zip(lesions, random.uniform(0.3, 0.6, len(lesions)), strict=True))
    second = {lesion: dice + random.normal(0.1, 0.1) for lesion, dice in first.items()}
    row = one(table_of(masks(first, model="one"), masks(second, model="two")), dice_of="lesions")
    difference = np.array([second[lesion] - first[lesion] for lesion in lesions])
    for bound in (row["dice_difference_low"], row["dice_difference_high"]):
        assert clustered_p_value(difference - bound, [lesion[:-1] for lesion in lesions]) == pytest.approx(0.05)
    assert row["dice_difference_low"] < row["dice_difference"] < row["dice_difference_high"]


def test_automatic_models_are_compared_on_images_and_on_lesions() -> None:
    bare: dict[str, Any] = {"kind": "none", "margin_mm": np.nan, "prompt_id": None}
    found = [masks(dice, model=name, origin="automatic", **bare) for name, dice in {"a": FIRST, "b": SECOND}.items()]
    tool = masks({"P1a": 0.9, "P2a": 0.9, "P3a": 0.9}, model="tool", origin=FOREIGN_MASKS, **bare)
    floor = masks(FIRST, model="ellipse")
    of_images = [maps().assign(model="a"), maps().assign(model="b", dice=[0.8, 0.0, 0.3, 1.0, 1.0], seen=False)]
    table = table_of(*found, tool, masks(FIRST, model="small"), floor, of_images=pd.concat(of_images))
    # images A and C have a lesion, and every lesion of them is known
    images = one(table, dice_of="images with a lesion")
    assert images[["model_a", "model_b", "prompts", "n", "patients"]].tolist() == ["b", "a", "none", 2, 2]
    assert images["patients_seen"] == 1
    assert images["dice_difference"] == pytest.approx((0.2 + 0.3) / 2)
    # two patients are fewer than an interval or a test needs
    assert images[["dice_difference_low", "dice_difference_p", "dice_difference_p_holm"]].isna().all()
    lesions = table[table["dice_of"] == "lesions"]
    assert lesions[["model_a", "model_b"]].to_numpy().tolist() == [["b", "a"], ["tool", "a"], ["tool", "b"]]
    assert lesions["n"].tolist() == [4, 3, 3]
    assert lesions["mark"].tolist() == ["", *["other tool, training patients unknown"] * 2]


def test_one_model_has_no_row() -> None:
    table = table_of(masks(FIRST, model="one"), masks({"P7a": 0.5}, model="elsewhere"))
    assert table.empty
    assert table.columns.tolist() == [*DIFFERENCE_COLUMNS]


def test_rows_of_a_patient_count_together_and_no_difference_has_no_p_value() -> None:
    random = np.random.default_rng(5)
    scores = random.standard_normal(40) + 0.3
    patients = [f"P{number}" for number in range(40)]
    once = clustered_p_value(scores, patients)
    assert clustered_p_value(np.repeat(scores, 3), [*np.repeat(patients, 3)]) == pytest.approx(once)
    assert clustered_p_value(np.repeat(scores, 3), [str(row) for row in range(120)]) < once
    for few in ([], [0.5], [0.0, 0.0]):
        assert math.isnan(clustered_p_value(np.array(few), [str(row) for row in range(len(few))]))
    assert math.isnan(clustered_p_value(np.array([0.5, 0.7]), ["a", "a"]))


def test_the_report_has_each_pair_under_its_prompt(tmp_path: Path) -> None:
    margins = [masks(dice, model=name, margin_mm=5.0) for name, dice in {"one": FIRST, "two": SECOND}.items()]
    write_csv(tmp_path / "segmentation_differences.csv", table_of(*margins))
    filters = {"shown": str.upper, "prompt": prompt_words, "marks_of": row_marks, "csv_file": lambda name: None}
    for rows, count in ((with_headings(Tables(tmp_path).rows("segmentation_differences")), 1), ([], 0)):
        values = {"percent": 95, "marks": "", "segmentation_differences": rows}
        text = re.sub(r"\s+", " ", render(values, "segmentation_differences.html.j2", filters))
        assert text.count("Lesions, box +5 mm") == text.count("ONE") == text.count("TWO") == count
        assert text.count("+0.150") == count
