from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.segmentation_tables import diameter_correlation, dice_by_diameter, segmentation_table

BOOTSTRAP = PatientBootstrap(200, 0.95, 0)
LESIONS = pd.DataFrame(
    {
        "split": ["test", "test", "train", "test"],
        "diameter_mm": [5.0, 10, 20, 30],
        "lesion_type": "mass",
        "malignant": pd.array([0, 1, 0, 1], dtype="Int64"),
    },
    index=pd.Index(["a", "b", "c", "d"], name="lesion_id"),
)


def scores(dice: dict[str, float], model: str, iteration: int = 1, chosen: bool = True) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "lesion_id": list(dice),
            "patient_id": [f"P{lesion}" for lesion in dice],
            "model": model,
            "field_of_view": "" if model == "ellipse" else "image",
            "kind": "box",
            "origin": "reference",
            "draw": 0,
            "prompt_id": [f"{lesion}+10" for lesion in dice],
            "margin_mm": 10.0,
            "iteration": iteration,
            "dice": list(dice.values()),
            "iou": [value / (2 - value) for value in dice.values()],
            "area_mm2": 50.0,
            "missed": [value == 0 for value in dice.values()],
            "chosen": chosen,
            "choice": "" if model == "ellipse" else "first",
            "head_choice": "" if model == "ellipse" else "single",
            "seen": [model != "ellipse" and lesion == "a" for lesion in dice],
        }
    )


SCORES = pd.concat(
    [
        scores({"a": 0.9, "b": 0.0, "c": 0.2, "d": 0.6}, "small", 1, chosen=False),
        scores({"a": 0.8, "b": 0.3, "c": 0.2, "d": 0.7}, "small", 2),
        scores({"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.2}, "ellipse"),
    ],
    ignore_index=True,
)


def row(table: pd.DataFrame, **wanted: object) -> pd.Series:
    found = table
    for column, value in wanted.items():
        found = found[found[column] == value]
    assert len(found) == 1
    return found.iloc[0]


def test_missed_lesions_score_zero_and_are_counted() -> None:
    table = segmentation_table(SCORES, LESIONS, BOOTSTRAP)
    first = row(table, split="test", model="small", selection="iteration 1")
    assert first["dice"] == pytest.approx((0.9 + 0 + 0.6) / 3)
    assert (first["n"], first["patients"], first["missed"]) == (3, 3, 1)
    assert first["dice_median"] == pytest.approx(0.6)


def test_patients_that_the_weights_were_trained_on_are_counted() -> None:
    table = segmentation_table(SCORES, LESIONS, BOOTSTRAP)
    assert row(table, split="test", model="small", selection="chosen")["patients_seen"] == 1
    assert row(table, split="test", model="ellipse", selection="chosen")["patients_seen"] == 0


def test_the_chosen_iteration_stands_beside_the_ellipse_on_the_same_prompts() -> None:
    table = segmentation_table(SCORES, LESIONS, BOOTSTRAP)
    chosen = row(table, split="test", model="small", selection="chosen")
    assert chosen["dice"] == pytest.approx(0.6)
    assert chosen["ellipse_dice"] == pytest.approx(0.4)
    assert chosen["dice_difference"] == pytest.approx(0.2)
    assert chosen["dice_difference_low"] <= 0.2 <= chosen["dice_difference_high"]
    everything = row(table, split="all", model="small", selection="chosen")
    assert everything["n"] == 4
    assert everything["dice"] == pytest.approx(0.5)
    assert row(table, split="test", model="ellipse", selection="chosen")["dice"] == pytest.approx(0.4)


def test_empty_against_empty_is_counted_apart() -> None:
    table = scores({"a": 1.0, "b": 1.0}, "small").assign(area_mm2=[0.0, 40.0])
    assert (
        row(segmentation_table(table, LESIONS, BOOTSTRAP), split="test", selection="chosen")["empty_against_empty"] == 1
    )


def test_a_study_of_boxes_has_no_overlap() -> None:
    boxes = SCORES.assign(dice=np.nan, iou=np.nan)
    table = segmentation_table(boxes, LESIONS, BOOTSTRAP)
    assert table.empty
    assert "dice_difference_low" in table.columns
    masks = SCORES[["lesion_id", "model", "field_of_view", "prompt_id"]].drop_duplicates()
    diameters = dice_by_diameter(boxes, masks, LESIONS)
    assert diameters.empty
    assert diameter_correlation(diameters, BOOTSTRAP).empty


def test_diameter_table_holds_the_masks_that_go_on() -> None:
    other_margin = SCORES.assign(margin_mm=0.0, prompt_id=SCORES["lesion_id"] + "+0", dice=0.99)
    masks = scores(dict.fromkeys(LESIONS.index, 1.0), "small")[["lesion_id", "model", "field_of_view", "prompt_id"]]
    table = dice_by_diameter(pd.concat([other_margin, SCORES]), masks, LESIONS)
    assert table["lesion_id"].tolist() == ["a", "b", "c", "d"]
    assert table["dice"].tolist() == [0.8, 0.3, 0.2, 0.7]
    assert table["diameter_mm"].tolist() == [5, 10, 20, 30]
    assert (table["margin_mm"] == 10).all()


def test_correlations_agree_with_scipy() -> None:
    random = np.random.default_rng(2)
    size = random.uniform(5, 40, 50)
    table = pd.DataFrame(
        {
            "model": "small",
            "split": "test",
            "patient_id": [f"P{lesion // 2}" for lesion in range(50)],
            "diameter_mm": size,
            "dice": np.round(np.clip(0.5 + size / 100 + random.normal(0, 0.05, 50), 0, 1), 2),
        }
    )
    found = row(diameter_correlation(table, BOOTSTRAP), split="test")
    assert found["r"] == pytest.approx(stats.pearsonr(size, table["dice"]).statistic)
    assert found["rho"] == pytest.approx(stats.spearmanr(size, table["dice"]).statistic)
    assert found["rho_p"] == pytest.approx(stats.spearmanr(size, table["dice"]).pvalue)
    assert found["r_low"] < found["r"] < found["r_high"]


def test_correlation_of_constants_is_not_defined() -> None:
    table = pd.DataFrame(
        {
            "model": "small",
            "split": "test",
            "patient_id": list("abcd"),
            "diameter_mm": 7.0,
            "dice": [0.1, 0.2, 0.3, 0.4],
        }
    )
    assert diameter_correlation(table, BOOTSTRAP)[["r", "rho", "r_p"]].isna().all(axis=None)


def test_fields_of_view_and_kinds_of_prompts_have_rows_of_their_own() -> None:
    windows = SCORES[SCORES["model"] == "small"].assign(field_of_view="window", dice=1.0)
    points = SCORES[SCORES["model"] == "small"].assign(kind="point", margin_mm=np.nan, prompt_id="p", dice=0.5)
    readers = SCORES[SCORES["model"] == "small"].assign(origin="reader:A", prompt_id="r", dice=0.25)
    drawn = SCORES[SCORES["model"] == "small"].assign(draw=2, prompt_id="d", dice=0.75)
    table = segmentation_table(pd.concat([SCORES, windows, points, readers, drawn]), LESIONS, BOOTSTRAP)
    chosen = table[(table["split"] == "test") & (table["selection"] == "chosen") & (table["model"] == "small")]
    found = chosen.set_index(["field_of_view", "prompts"])["dice"]
    assert found[("image", "box")] == pytest.approx((0.8 + 0.3 + 0.7) / 3)
    assert found[("window", "box")] == 1.0
    assert found[("image", "point")] == 0.5
    assert found[("image", "box; reader:A")] == 0.25
    assert found[("image", "box; drawn")] == 0.75
    assert (chosen["n"] == 3).all()
    assert np.isnan(chosen.set_index("prompts").loc["point", "ellipse_dice"])  # a point has no box to hold one


def test_heads_chosen_by_the_reference_mark_every_iteration() -> None:
    heads = SCORES.assign(head_choice=SCORES["head_choice"].replace("single", "oracle"))
    table = segmentation_table(heads, LESIONS, BOOTSTRAP)
    assert set(table.loc[table["model"] == "small", "mark"]) == {"oracle"}
    assert set(table.loc[table["model"] == "ellipse", "mark"]) == {""}
