"""Methods of tuning and heads of the decoder in tables, held to values by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up_scores import lesions_of, masks, one

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.segmentation_empty import empty_images_table
from mammoflow.evaluation.segmentation_heads import heads_table
from mammoflow.evaluation.tuning_methods import tuning_methods
from mammoflow.tables.masks import EMPTY_SCORES

BOOTSTRAP = PatientBootstrap(200, 0.95, 2)
BEFORE = {"P1a": 0.0, "P2a": 0.5, "P3a": 0.2}
AFTER = {"P1a": 0.6, "P2a": 0.7, "P3a": 0.8}


def training(method: str, parameters: int) -> dict[str, Any]:
    cost = {"seconds": 90.0, "peak_memory_bytes": 3 * 2**20, "epochs": 3, "chosen_epoch": 2, "images": 10}
    where = {"device": "cpu", "threads": 1, "precision": "32-true", "patients": 7, "validation_patients": 4}
    said = {"method": method, "from": "base", "trainable_parameters": parameters, "total_parameters": 1000}
    return {"training": {**said, **cost, **where}}


def test_a_tuned_model_is_compared_with_the_one_that_it_started_from() -> None:
    scores = pd.concat(
        [
            masks(BEFORE, model="base", kind="point", margin_mm=np.nan),
            masks(AFTER, model="tuned", kind="point", margin_mm=np.nan),
            masks(AFTER, model="lora", kind="point", margin_mm=np.nan, seen=True),
            masks(BEFORE, model="elsewhere", kind="point", margin_mm=np.nan),
        ]
    )
    weights = {"base": {}, "tuned": training("decoder", 40), "lora": training("lora", 20), "elsewhere": {}}
    table = tuning_methods(scores, lesions_of(scores), weights, BOOTSTRAP)
    assert table["model"].tolist() == ["base", "lora", "tuned"]  # by what they train; one model was not tuned
    base, tuned, lora = (one(table, model=name) for name in ("base", "tuned", "lora"))
    assert (base["method"], base["trainable_parameters"], base["missed"]) == ("none", 0, 1)
    assert (tuned["method"], tuned["untuned"], tuned["trainable_parameters"]) == ("decoder", "base", 40)
    assert (tuned["n"], tuned["patients"], tuned["patients_seen"], lora["patients_seen"]) == (3, 3, 0, 3)
    assert tuned["dice"] == pytest.approx(0.7)
    assert tuned["difference_to_untuned"] == pytest.approx((0.6 + 0.2 + 0.6) / 3)
    assert np.isnan(base["difference_to_untuned"])
    assert (tuned["training_peak_mb"], tuned["seconds_per_image"]) == (3.0, 3.0)
    assert (tuned["training_patients"], tuned["validation_patients"], tuned["training_images"]) == (7, 4, 10)


def test_without_tuned_models_there_is_no_row() -> None:
    scores = masks(BEFORE, model="base")
    assert tuning_methods(scores, lesions_of(scores), {"base": {}}, BOOTSTRAP).empty


def test_heads_are_compared_with_the_selected_one() -> None:
    heads = {
        "head_1_dice": [0.5, 0.2, 0.8],
        "head_2_dice": [0.6, 0.4, 0.0],
        "head_3_dice": [0.7, 0.1, 0.3],
        "head_1_predicted_iou": [0.9, 0.9, 0.1],
        "head_2_predicted_iou": [0.1, 0.2, 0.9],
        "head_3_predicted_iou": [0.2, 0.1, 0.2],
    }
    scores = masks(AFTER, head_choice="predicted_iou").assign(**heads)
    table = heads_table(scores, lesions_of(scores), BOOTSTRAP)
    assert table["head"].tolist() == ["head 1", "head 2", "head 3", "selected", "best by the reference"]
    # selected are heads 1, 1, 2, best are 3, 2, 1
    selected, best, third = (one(table, head=name) for name in ("selected", "best by the reference", "head 3"))
    assert selected["dice"] == pytest.approx((0.5 + 0.2 + 0.0) / 3)
    assert (selected["missed"], third["missed"]) == (1, 0)
    assert best["dice"] == pytest.approx((0.7 + 0.4 + 0.8) / 3)
    assert (best["mark"], selected["mark"]) == ("oracle", "")
    assert third["difference_to_selected"] == pytest.approx((0.2 - 0.1 + 0.3) / 3)
    assert third["iou"] == pytest.approx(np.mean([0.7 / 1.3, 0.1 / 1.9, 0.3 / 1.7]))
    assert third["iou_error"] == pytest.approx(np.mean([abs(0.2 - 0.7 / 1.3), 0.1 - 0.1 / 1.9, 0.2 - 0.3 / 1.7]))
    assert table["selected_share"].tolist() == pytest.approx([2 / 3, 1 / 3, 0, 1, 0])
    assert heads_table(masks(BEFORE), lesions_of(scores), BOOTSTRAP).empty  # of one head alone


def test_images_without_a_lesion_are_counted_apart() -> None:
    rows = [("A", "test", 0.0, False), ("B", "test", 40.0, True), ("B", "test", 0.0, True), ("C", "train", 9.0, True)]
    scores = pd.DataFrame(
        [
            {"image_id": str(number), "patient_id": patient, "split": split, "model": "m", "area_mm2": area,
             "predicted_iou": 0.5, "empty": area == 0, "seen": seen}
            for number, (patient, split, area, seen) in enumerate(rows)
        ]
    )  # fmt: skip
    table = empty_images_table(EMPTY_SCORES.validate(scores), BOOTSTRAP)
    row = one(table, split="test", model="m")
    assert (row["n"], row["patients"], row["patients_seen"], row["empty_against_empty"]) == (3, 2, 1, 2)
    assert row["dice"] == pytest.approx(2 / 3)
    assert row["area_mm2"] == pytest.approx(40 / 3)
    assert len(table) == 1
