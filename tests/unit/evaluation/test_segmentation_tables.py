from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.segmentation_diameter import case_numbers, diameter_correlation, dice_by_diameter
from mammoflow.evaluation.segmentation_summary import mean_columns
from mammoflow.evaluation.segmentation_tables import segmentation_table

BOOTSTRAP = PatientBootstrap(200, 0.95, 0)
LESIONS = pd.DataFrame(
    {
        "split": ["test", "test", "train", "test"],
        "mask_file": "mask.png",
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
            "precision": list(dice.values()),
            "recall": list(dice.values()),
            "pixel_accuracy": 0.99,
            "hd95_mm": [10 * (1 - value) if value else np.nan for value in dice.values()],
            "surface_distance_mm": [4 * (1 - value) if value else np.nan for value in dice.values()],
            "area_mm2": 50.0,
            "area_error_mm2": -5.0,
            "area_error_share": -0.1,
            "missed": [value == 0 for value in dice.values()],
            "chosen": chosen,
            "choice": "" if model == "ellipse" else "first",
            "head_choice": "" if model == "ellipse" else "single",
            "feed": "" if model == "ellipse" else "logits",
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


def test_patients_of_the_model_whose_masks_made_the_prompts_are_counted() -> None:
    dice = {"a": 0.9, "b": 0.4, "d": 0.6}
    handed = [scores(dice, model).assign(origin="model:small", seen=False) for model in ("medsam_vit_b", "ellipse")]
    elsewhere = scores(dice, "sam_vit_b").assign(origin="model:other", seen=False)
    joined = pd.concat([SCORES, *(one.assign(prompt_id=one["prompt_id"] + "@m") for one in (*handed, elsewhere))])
    table = segmentation_table(joined.reset_index(drop=True), LESIONS, BOOTSTRAP)
    found = table[(table["split"] == "test") & (table["selection"] == "chosen")]
    seen = found.set_index(["model", "prompts"])["patients_seen"]
    assert seen[("medsam_vit_b", "box; model:small")] == 1
    assert seen[("ellipse", "box; model:small")] == 1
    assert seen[("ellipse", "box")] == 0
    assert seen[("sam_vit_b", "box; model:other")] == 0


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


def test_distances_that_are_not_defined_are_left_out_and_counted() -> None:
    first = row(segmentation_table(SCORES, LESIONS, BOOTSTRAP), split="test", model="small", selection="iteration 1")
    assert first["surface_left_out"] == 1
    assert first["hd95_mm"] == pytest.approx((1 + 4) / 2)
    assert first["surface_distance_mm"] == pytest.approx((0.4 + 1.6) / 2)
    assert first["hd95_mm_median"] == pytest.approx(2.5)
    assert first["precision"] == first["dice"]
    assert (first["area_error_mm2"], first["area_error_share"]) == pytest.approx((-5, -0.1))


def test_intervals_are_those_of_the_house_bootstrap() -> None:
    generator = np.random.default_rng(1)
    ids = [f"L{number}" for number in range(40)]
    lesions = pd.DataFrame({"split": "test", "mask_file": "mask.png"}, index=pd.Index(ids, name="lesion_id"))
    table = scores(dict(zip(ids, generator.uniform(0.2, 0.9, 40), strict=True)), "small")
    table["patient_id"] = [f"P{number // 3}" for number in range(40)]
    found = row(segmentation_table(table, lesions, BOOTSTRAP), split="test", selection="chosen")
    expected = BOOTSTRAP.mean(table["dice"].to_numpy(), table["patient_id"].tolist())
    assert (found["dice_low"], found["dice_high"]) == pytest.approx((expected.low, expected.high))
    # Of a score that some rows lack: the ratio of weighted sums over the rows that have it.
    table.loc[::4, "hd95_mm"] = np.nan
    found = row(segmentation_table(table, lesions, BOOTSTRAP), split="test", selection="chosen")
    weights = BOOTSTRAP.weights(table["patient_id"].tolist())
    kept = table["hd95_mm"].notna().to_numpy()
    means = weights[:, kept] @ table.loc[kept, "hd95_mm"].to_numpy() / weights[:, kept].sum(axis=1)
    assert found["hd95_mm"] == pytest.approx(table["hd95_mm"].mean())
    assert found["hd95_mm_low"] == pytest.approx(np.quantile(means[1:], 0.025))


def test_feeds_stand_apart_and_only_one_of_them_has_masks_that_go_on() -> None:
    other = SCORES[SCORES["model"] == "small"].assign(feed="box", chosen=False)
    table = segmentation_table(pd.concat([SCORES, other]), LESIONS, BOOTSTRAP)
    assert row(table, split="test", feed="box", selection="iteration 2")["n"] == 3
    assert set(table.loc[table["selection"] == "chosen", "feed"]) == {"logits", ""}


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


def test_cases_are_numbered_in_the_order_of_their_ids() -> None:
    assert case_numbers(pd.Index(["b", "c", "a", "b"])).to_dict() == {"a": 1, "b": 2, "c": 3}
    masks = scores({"d": 1.0, "b": 1.0}, "small")[["lesion_id", "model", "field_of_view", "prompt_id"]]
    assert dice_by_diameter(SCORES, masks, LESIONS)["case"].tolist() == [2, 4]


def test_correlations_agree_with_scipy() -> None:
    random = np.random.default_rng(2)
    size = random.uniform(5, 40, 50)
    table = pd.DataFrame(
        {
            "model": "small",
            "split": "test",
            "mark": "",
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
    by_patient = table.groupby("patient_id")[["diameter_mm", "dice"]].mean()
    assert found["patients"] == 25
    assert found["patients_r"] == pytest.approx(stats.pearsonr(*by_patient.to_numpy().T).statistic)
    assert found["patients_rho_p"] == pytest.approx(stats.spearmanr(*by_patient.to_numpy().T).pvalue)
    assert "n - 2 degrees" in found["null"]


def test_correlation_of_constants_is_not_defined() -> None:
    table = pd.DataFrame(
        {
            "model": "small",
            "split": "test",
            "mark": "",
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


def test_a_mean_of_few_patients_has_no_interval_however_many_lesions_there_are() -> None:
    patients = [f"P{number}" for number in range(50)]
    values = np.full((50, 2), np.nan)
    values[:2, 0], values[:, 1] = (0.9, 0.5), np.linspace(0, 1, 50)
    found = mean_columns(("few", "all"), values, patients, PatientBootstrap(200, 0.95, 0, 5))
    assert found["few"] == pytest.approx(0.7)
    assert np.isnan(found["few_low"])
    assert found["all_low"] < found["all"] < found["all_high"]
