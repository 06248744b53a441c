"""Segmentation scores by subgroup, and by ways to choose among iterations and heads."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.segmentation_choices import choices_table
from mammoflow.evaluation.segmentation_subgroups import lesion_groups, segmentation_subgroups, size_terciles

BOOTSTRAP = PatientBootstrap(200, 0.95, 0)
LESIONS = pd.DataFrame(
    {
        "split": ["test"] * 6 + ["train"],
        "mask_file": "mask.png",
        "diameter_mm": [4.0, 8, 12, 16, 20, np.nan, 30],
        "lesion_type": ["mass", "mass", "mass", "calcification", "calcification", "mass", "mass"],
        "density": pd.array([1, 2, 2, 4, None, 2, 1], dtype="Int64"),
        "source": ["A", "A", "A", "B", "B", "B", "A"],
        "malignant": pd.array([0, 1, 0, 1, None, 0, 1], dtype="Int64"),
    },
    index=pd.Index(list("abcdefg"), name="lesion_id"),
)
DICE = {"a": 0.5, "b": 0.0, "c": 0.7, "d": 0.8, "e": 0.9, "f": 0.6, "g": 0.1}


def scores(iteration: int = 1, shift: float = 0.0, **columns: object) -> pd.DataFrame:
    dice = np.clip(np.array(list(DICE.values())) + shift, 0, 1)
    table = pd.DataFrame(
        {
            "lesion_id": list(DICE),
            "patient_id": ["P1", "P1", "P2", "P3", "P4", "P5", "P6"],
            "model": "small",
            "field_of_view": "image",
            "kind": "box",
            "origin": "reference",
            "draw": 0,
            "feed": "logits",
            "prompt_id": [f"{lesion}@box+5mm" for lesion in DICE],
            "margin_mm": 5.0,
            "iteration": iteration,
            "dice": dice,
            "predicted_iou": 0.5 + 0.1 * iteration,
            "missed": dice == 0,
            "chosen": iteration == 1,
            "choice": "first",
            "head_choice": "single",
            "seen": False,
            "area_mm2": 40.0,
            **{f"head_{head}_{of}": np.nan for head in (1, 2, 3) for of in ("dice", "predicted_iou")},
        }
    )
    others = ("iou", "precision", "recall", "pixel_accuracy", "hd95_mm", "surface_distance_mm")
    table = table.assign(**dict.fromkeys((*others, "area_error_mm2", "area_error_share"), table["dice"]))
    return table.assign(**columns)


def row(table: pd.DataFrame, **wanted: object) -> pd.Series:
    found = table
    for column, value in wanted.items():
        found = found[found[column] == value]
    assert len(found) == 1
    return found.iloc[0]


def test_groups_hold_the_test_lesions_with_their_counts() -> None:
    table = segmentation_subgroups(pd.concat([scores(), scores(2, 0.2)]), LESIONS, BOOTSTRAP)
    mass = row(table, grouping="lesion type", group="mass")
    assert (mass["n"], mass["lesions"], mass["patients"], mass["missed"]) == (4, 4, 3, 1)
    assert mass["dice"] == pytest.approx((0.5 + 0 + 0.7 + 0.6) / 4)
    assert mass["dice_low"] <= mass["dice"] <= mass["dice_high"]
    assert row(table, grouping="source", group="B")["dice"] == pytest.approx((0.8 + 0.9 + 0.6) / 3)
    assert row(table, grouping="breast density", group="2")["n"] == 3
    assert row(table, grouping="label", group="malignant")["n"] == 2
    # What is not known stands last, so that the groups of every grouping add up to all lesions.
    assert row(table, grouping="breast density", group="not known")["dice"] == pytest.approx(0.9)
    assert row(table, grouping="longest diameter", group="not known")["dice"] == pytest.approx(0.6)
    assert row(table, grouping="label", group="not known")["dice"] == pytest.approx(0.9)
    assert (table.groupby("grouping")["n"].sum() == 6).all()
    assert table.groupby("grouping")["group"].last()["label"] == "not known"
    assert not ((table["grouping"] == "source") & (table["group"] == "not known")).any()


def test_sizes_are_terciles_in_order() -> None:
    terciles = size_terciles(pd.Series([9.0, 1, 2, 3, 4, 5, 6, 7, 8], index=list("ihgfedcba")))
    assert terciles.value_counts().tolist() == [3, 3, 3]
    assert list(terciles.unique()) == ["up to 3.7 mm", "3.7 to 6.3 mm", "over 6.3 mm"]
    assert terciles["h"] == terciles["g"] == "up to 3.7 mm"
    # A diameter at a bound belongs to the group that ends there; a third that ties leave empty is no group.
    assert size_terciles(pd.Series([1.0, 1, 1, 2, 2, 2])).tolist() == ["up to 1.0 mm"] * 3 + ["1.0 to 2.0 mm"] * 3
    assert set(size_terciles(pd.Series([5.0, 5, 5, 5]))) == {"all with a diameter"}
    assert set(size_terciles(pd.Series([5.0, 9]))) == {"all with a diameter"}
    groups = segmentation_subgroups(scores(), LESIONS, BOOTSTRAP)
    sizes = groups[groups["grouping"] == "longest diameter"]
    assert sizes["n"].tolist() == [2, 1, 2, 1]
    assert sizes["group"].tolist() == ["up to 9.3 mm", "9.3 to 14.7 mm", "over 14.7 mm", "not known"]


def test_groups_of_a_cohort_without_a_label_are_empty() -> None:
    unknown = LESIONS.assign(density=pd.array([pd.NA] * 7, dtype="Int64"))
    assert lesion_groups(unknown)["breast density"].empty
    assert "breast density" not in set(segmentation_subgroups(scores(), unknown, BOOTSTRAP)["grouping"])
    nothing = segmentation_subgroups(scores(dice=np.nan), LESIONS, BOOTSTRAP)
    assert nothing.empty
    assert {"grouping", "dice_low", "mark"} <= set(nothing.columns)


def test_the_best_iteration_by_the_reference_is_an_oracle() -> None:
    better = scores(2, 0.1)
    better.loc[better["lesion_id"] == "e", ["dice", "predicted_iou"]] = 0.3, 0.1
    table = choices_table(pd.concat([scores(), better]), LESIONS, BOOTSTRAP)
    assert table["choice"].tolist() == ["iteration 1", "iteration 2", "best by predicted IoU", "best by the reference"]
    assert table["mark"].tolist() == ["", "", "", "oracle"]
    first, oracle = row(table, choice="iteration 1"), row(table, choice="best by the reference")
    assert first["dice"] == pytest.approx(np.mean([0.5, 0, 0.7, 0.8, 0.9, 0.6]))
    assert first["dice_difference"] == 0
    assert oracle["dice"] == pytest.approx(np.mean([0.6, 0.1, 0.8, 0.9, 0.9, 0.7]))
    assert oracle["dice_difference"] == pytest.approx(0.5 / 6)
    # The model's own estimate of "e" is higher in the first iteration, of all others in the second.
    assert row(table, choice="best by predicted IoU")["dice"] == pytest.approx(oracle["dice"])
    assert (first["missed"], oracle["missed"], first["n"], first["patients"]) == (1, 0, 6, 5)


def test_heads_are_compared_where_all_three_were_asked_for() -> None:
    heads = {f"head_{head}_dice": 0.2 * head for head in (1, 2, 3)}
    predicted = {f"head_{head}_predicted_iou": 0.9 - 0.2 * head for head in (1, 2, 3)}
    asked = scores(head_choice="oracle", **heads, **predicted)
    table = choices_table(asked, LESIONS, BOOTSTRAP)
    assert set(table["among"]) == {"heads"}
    assert table["dice"].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.2, 0.6])
    assert table["mark"].tolist() == ["", "", "", "", "oracle"]
    # Iterations that follow a head which the reference chose are oracles all.
    both = choices_table(pd.concat([asked, scores(2, 0.1, head_choice="oracle")]), LESIONS, BOOTSTRAP)
    assert (both.loc[both["among"] == "iterations", "mark"] == "oracle").all()


def test_one_iteration_and_one_head_leave_no_choice() -> None:
    table = choices_table(scores(), LESIONS, BOOTSTRAP)
    assert table.empty
    assert "dice_difference_low" in table.columns
