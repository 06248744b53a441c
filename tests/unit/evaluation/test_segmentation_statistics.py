"""The score tables held to sums by hand, to plain loops over the rows, and to a bootstrap of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.evaluation import segmentation_figures, stage
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.segmentation_choices import choices_table
from mammoflow.evaluation.segmentation_diameter import diameter_correlation, dice_by_diameter
from mammoflow.evaluation.segmentation_subgroups import segmentation_subgroups
from mammoflow.evaluation.segmentation_summary import SCORES
from mammoflow.evaluation.segmentation_tables import segmentation_table
from mammoflow.evaluation.stage import NOT_RESULTS, compare
from mammoflow.tables import SEGMENTATION_SCORES

SETTINGS = ComparisonSettings(bootstrap=100)
BOOTSTRAP = PatientBootstrap(400, 0.95, 3)
KEYS = ["model", "field_of_view", "prompts", "feed", "margin_mm"]
SEGMENTATION_TABLES = (
    "segmentation",
    "segmentation_choices",
    "segmentation_subgroups",
    "dice_by_diameter",
    "dice_diameter_correlation",
)
Table = pd.DataFrame


def mask(lesion: str, dice: float, **columns: Any) -> dict[str, Any]:
    """Return the row of one mask around a lesion named by patient and letter, such as `P1a`; a miss is empty."""
    margin = columns.get("margin_mm", 10.0)
    origin = columns.get("origin", "reference")
    draw = columns.get("draw", 0)
    floor = columns.get("model") == "ellipse"
    missed = dice == 0
    row = {
        "lesion_id": lesion,
        "image_id": lesion,
        "patient_id": lesion[:-1],
        "model": "small",
        "field_of_view": "" if floor else "image",
        "view_spacing_mm": np.nan,
        "prompt_id": f"{lesion}@{columns.get('kind', 'box')}+{margin}#{draw}@{origin}",
        "kind": "box",
        "origin": origin,
        "draw": draw,
        "margin_mm": margin,
        "iteration": 1,
        "dice": dice,
        **{name: (np.nan if missed and "_mm" in name else dice) for name in SCORES if name != "dice"},
        "predicted_iou": np.nan if floor else 0.5,
        "area_mm2": 0.0 if missed else 30.0,
        "missed": missed,
        "chosen": columns.get("iteration", 1) == 1,
        "choice": "" if floor else "first",
        "feed": "" if floor else "logits",
        "head": None if floor else 0,
        "head_choice": "" if floor else "single",
        **{f"head_{head}_{of}": np.nan for head in (1, 2, 3) for of in ("predicted_iou", "dice")},
        "seen": False,
    }
    return row | columns


def masks(dice: dict[str, float], **columns: Any) -> Table:
    return SEGMENTATION_SCORES.validate(
        pd.DataFrame([mask(lesion, value, **columns) for lesion, value in dice.items()])
    )


def lesions_of(*tables: Table, **columns: Any) -> Table:
    """Return test lesions of 1, 2, ... mm for all that the tables score."""
    ids = sorted({lesion for table in tables for lesion in table["lesion_id"]})
    facts = {"split": "test", "mask_file": "mask.png", "diameter_mm": np.arange(1.0, len(ids) + 1)}
    facts |= {"lesion_type": "mass", "source": "A"}
    whole = {name: pd.array([1] * len(ids), dtype="Int64") for name in ("density", "malignant")}
    return pd.DataFrame(facts | whole | columns, index=pd.Index(ids, name="lesion_id"))


def one(table: Table, **wanted: Any) -> pd.Series:
    for column, value in wanted.items():
        table = table[table[column] == value]
    assert len(table) == 1, table
    return table.iloc[0]


def drawn_means(values: list[float], patients: list[str], draws: int = 4000) -> list[float]:
    """Means over patients drawn one by one with replacement, each with all its rows; undefined values left out."""
    generator = np.random.default_rng(77)
    of_patient: dict[str, list[float]] = {}
    for patient, value in zip(patients, values, strict=True):
        of_patient.setdefault(patient, []).append(value)
    names = sorted(of_patient)
    means = []
    for _ in range(draws):
        rows = [value for name in generator.choice(names, len(names)) for value in of_patient[str(name)]]
        defined = [value for value in rows if not np.isnan(value)]
        means.append(sum(defined) / len(defined))
    return means


# Means, misses, distances


def test_a_miss_counts_in_every_overlap_mean_and_has_a_distance_only_where_there_is_a_mask() -> None:
    # P1a: hit. P2a: nothing found. P3a: a mask beside the lesion, 20 mm away. P4a: hit.
    table = masks({"P1a": 0.8, "P2a": 0.0, "P3a": 0.0, "P4a": 0.6})
    table.loc[table["lesion_id"] == "P3a", ["hd95_mm", "surface_distance_mm", "area_mm2"]] = 20.0, 18.0, 12.0
    table.loc[table["lesion_id"].isin(["P1a", "P4a"]), "hd95_mm"] = [2.0, 5.0]
    found = one(segmentation_table(table, lesions_of(table), BOOTSTRAP), split="test", selection="chosen")
    assert (found["n"], found["missed"], found["surface_left_out"], found["empty_against_empty"]) == (4, 2, 1, 0)
    for name in ("dice", "iou", "precision", "recall"):
        assert found[name] == pytest.approx(1.4 / 4), name
    assert found["dice_median"] == pytest.approx(0.3)
    # Three of four have a distance: the empty mask has none, the mask that missed has its own.
    assert found["hd95_mm"] == pytest.approx(27 / 3)
    assert found["hd95_mm_median"] == 5.0
    assert found["surface_distance_mm"] == pytest.approx((0.8 + 18 + 0.6) / 3)


def test_where_all_are_missed_the_means_are_zero_and_distances_not_defined() -> None:
    table = masks({"P1a": 0.0, "P2a": 0.0})
    found = one(segmentation_table(table, lesions_of(table), BOOTSTRAP), split="test", selection="chosen")
    assert (found["dice"], found["dice_low"], found["dice_high"], found["missed"]) == (0, 0, 0, 2)
    assert found["surface_left_out"] == 2
    assert found[["hd95_mm", "hd95_mm_low", "hd95_mm_median", "surface_distance_mm_high"]].isna().all()


def test_lesions_that_nobody_prompted_are_counted_beside_the_mean() -> None:
    own = masks({"P1a": 0.8, "P2a": 0.6, "P3a": 0.4})
    handed = masks({"P1a": 0.9, "P3a": 0.7}, model="medsam_vit_b", origin="model:small")
    everything = pd.concat([own, handed])
    known = lesions_of(own)
    known.loc["P4a"] = known.loc["P3a"]  # a lesion with a mask that no row has
    known.loc["P5a"] = known.loc["P3a"]
    known.loc["P5a", "mask_file"] = None  # one of which there is only a box: it cannot be scored
    known.loc["P6a"] = known.loc["P3a"]
    known.loc["P6a", "split"] = "train"
    table = segmentation_table(everything, known, BOOTSTRAP)
    test = table[table["split"] == "test"].set_index(["model", "selection"])["lesions_without_prompt"]
    assert test[("small", "chosen")] == 1
    assert test[("medsam_vit_b", "chosen")] == 2
    assert table[table["split"] == "all"].set_index(["model", "selection"]).loc[("small", "chosen")].loc[
        "lesions_without_prompt"
    ] == 2  # fmt: skip
    known["source"] = ["A", "A", "B", "B", "B", "B"]
    groups = segmentation_subgroups(everything, known, BOOTSTRAP)
    assert one(groups, grouping="source", group="A", model="medsam_vit_b")["lesions_without_prompt"] == 1
    assert one(groups, grouping="source", group="B", model="small")["lesions_without_prompt"] == 1


# Intervals


def test_interval_of_two_patients_of_unequal_size_is_that_of_counting() -> None:
    # Draws of two patients: P1 twice (mean 0.2), P2 twice (mean 0.8), one each (3 * 0.2 + 0.8) / 4 = 0.35: chances 1/4,
    # 1/4, 1/2. Lesions drawn one by one would have a mean between 0.2 and 0.35 in most draws.
    table = masks({"P1a": 0.2, "P1b": 0.2, "P1c": 0.2, "P2a": 0.8})
    known = lesions_of(table)

    def interval(confidence: float) -> list[float]:
        bootstrap = PatientBootstrap(2000, confidence, 0)
        found = one(segmentation_table(table, known, bootstrap), split="test", selection="chosen")
        assert (found["n"], found["lesions"], found["patients"]) == (4, 4, 2)
        return [found["dice_low"], found["dice"], found["dice_high"]]

    assert interval(0.95) == pytest.approx([0.2, 0.35, 0.8])
    assert interval(0.40) == pytest.approx([0.35, 0.35, 0.35])  # tails of 0.3 lie inside the half


def test_intervals_agree_with_drawing_patients_one_by_one() -> None:
    generator = np.random.default_rng(11)
    quality = generator.uniform(0.2, 0.8, 25)
    dice = {
        f"P{patient:02d}{letter}": float(np.clip(quality[patient] + generator.normal(0, 0.05), 0.01, 1))
        for patient in range(25)
        for letter in "abcd"[: 1 + patient % 4]
    }
    dice["P03a"] = 0.0
    table = masks(dice)
    floor = masks({lesion: value * 0.5 + 0.1 for lesion, value in dice.items()}, model="ellipse")
    rows = segmentation_table(pd.concat([table, floor]), lesions_of(table), PatientBootstrap(4000, 0.95, 5))
    found = one(rows, split="test", model="small", selection="chosen")
    patients = table["patient_id"].tolist()
    differences = (table["dice"] - floor["dice"]).tolist()
    for name, values in (("dice", table["dice"]), ("hd95_mm", table["hd95_mm"]), ("dice_difference", differences)):
        means = drawn_means(list(values), patients)
        expected = np.quantile(means, [0.025, 0.975])
        width = expected[1] - expected[0]
        assert found[[f"{name}_low", f"{name}_high"]].tolist() == pytest.approx(expected, abs=0.05 * width), name
        # Lesions of a patient are alike here, so that drawing them one by one would give a narrower interval.
        alone = np.quantile(drawn_means(list(values), [str(place) for place in range(len(patients))]), [0.025, 0.975])
        assert alone[1] - alone[0] < 0.85 * (found[f"{name}_high"] - found[f"{name}_low"]), name


def test_one_patient_has_values_and_no_interval() -> None:
    table = pd.concat([masks({"P1a": 0.4, "P1b": 0.8}), masks({"P1a": 0.5, "P1b": 0.5}, iteration=2)])
    found = one(segmentation_table(table, lesions_of(table), BOOTSTRAP), split="test", selection="chosen")
    assert found["dice"] == pytest.approx(0.6)
    assert found[["dice_low", "dice_high", "dice_difference"]].isna().all()
    chosen = choices_table(table, lesions_of(table), BOOTSTRAP)
    assert chosen[["dice_low", "dice_high", "dice_difference_low"]].isna().all(axis=None)
    assert chosen["dice"].notna().all()


# The ellipse


def test_difference_to_the_ellipse_is_that_of_the_same_boxes() -> None:
    spread = {f"P{number}a": number / 10 for number in range(9)}
    better = {lesion: value + 0.1 for lesion, value in spread.items()}
    parts = [
        masks(better),
        masks(spread, model="ellipse").iloc[::-1],  # the order of the rows is not what pairs them
        # The same lesions at another margin, where the ellipse is better.
        masks(spread, margin_mm=0.0),
        masks(better, margin_mm=0.0, model="ellipse"),
        masks(better, kind="point", margin_mm=np.nan, prompt_id="point"),
    ]
    table = pd.concat(parts, ignore_index=True)
    found = segmentation_table(table, lesions_of(table), BOOTSTRAP)
    found = found[(found["split"] == "test") & (found["selection"] == "chosen")]
    names = ["dice_difference_low", "dice_difference", "dice_difference_high"]
    loose = one(found, model="small", margin_mm=10.0)
    assert loose[names].tolist() == pytest.approx([0.1] * 3)
    assert loose["dice_high"] - loose["dice_low"] > 0.2
    assert (loose["ellipse_dice"], loose["dice"]) == pytest.approx((0.4, 0.5))
    assert one(found, model="small", margin_mm=0.0)[names].tolist() == pytest.approx([-0.1] * 3)
    assert one(found, model="ellipse", margin_mm=0.0)[names].tolist() == pytest.approx([0] * 3)
    assert one(found, prompts="point")[["ellipse_dice", *names]].isna().all()


# Marks


def test_prompts_around_masks_that_the_reference_chose_are_oracles() -> None:
    own = pd.concat([masks({"P1a": 0.8, "P2a": 0.6}), masks({"P1a": 0.7, "P2a": 0.9}, iteration=2)])
    handed = {"model": "medsam_vit_b", "origin": "model:small"}
    prompted = pd.concat([masks({"P1a": 0.5, "P2a": 0.6}, iteration=number, **handed) for number in (1, 2)])
    beside = masks({"P1a": 0.5, "P2a": 0.6}, model="medsam_vit_b")
    ellipse = masks({"P1a": 0.4, "P2a": 0.4}, **(handed | {"model": "ellipse"}))

    def marks(first: Table) -> dict[tuple[str, str, str], str]:
        whole = pd.concat([first, prompted, beside, ellipse])
        found = segmentation_table(whole, lesions_of(whole), BOOTSTRAP)
        found = found[found["split"] == "test"]
        choices = choices_table(whole, lesions_of(whole), BOOTSTRAP)
        for _, row in choices[choices["prompts"] == "box; model:small"].iterrows():
            oracle = first[["choice", "head_choice"]].eq("oracle").any(axis=None)
            expected = oracle or row["choice"] == "best by the reference"
            assert (row["mark"] == "oracle") == expected, row
        return found.set_index(["model", "prompts", "selection"])["mark"].to_dict()

    assert set(marks(own).values()) == {""}
    for column in ("choice", "head_choice"):
        found = marks(own.assign(**{column: "oracle"}))
        for selection in ("iteration 1", "iteration 2", "chosen"):
            assert found[("medsam_vit_b", "box; model:small", selection)] == "oracle"
        assert found[("ellipse", "box; model:small", "chosen")] == "oracle"
        assert found[("medsam_vit_b", "box", "chosen")] == ""
        # An iteration by its number is no choice of the reference; a head that the reference chose is in all of them.
        assert found[("small", "box", "iteration 1")] == ("oracle" if column == "head_choice" else "")
        assert found[("small", "box", "chosen")] == "oracle"


def test_exact_and_drawn_prompts_stand_apart_also_around_another_models_masks() -> None:
    parts = [
        masks({"P1a": 0.9, "P2a": 0.9}, origin="model:other"),
        *(masks({"P1a": 0.3, "P2a": 0.3}, origin="model:other", draw=draw) for draw in (1, 2)),
        masks({"P1a": 0.6, "P2a": 0.6}, origin="reader:A"),
        masks({"P1a": 0.2}, origin="reader:A", draw=1),  # a second box of the reader's own, not one drawn at random
    ]
    table = pd.concat(parts)
    found = segmentation_table(table, lesions_of(table), BOOTSTRAP)
    found = found[(found["split"] == "test") & (found["selection"] == "chosen")].set_index("prompts")
    assert found["dice"].to_dict() == pytest.approx(
        {"box; model:other": 0.9, "box; model:other; drawn": 0.3, "box; reader:A": 1.4 / 3}
    )
    assert found["n"].to_dict() == {"box; model:other": 2, "box; model:other; drawn": 4, "box; reader:A": 3}
    assert (found["lesions"] == 2).all()


def test_the_diameter_table_marks_each_model_for_itself() -> None:
    small, other = masks({"P1a": 0.8}, choice="oracle"), masks({"P1a": 0.8}, model="other")
    table = pd.concat([small, other])
    kept = table[["model", "field_of_view", "lesion_id", "prompt_id"]]
    found = dice_by_diameter(table, kept, lesions_of(table)).set_index("model")["mark"]
    assert found.to_dict() == {"small": "oracle", "other": ""}


# Choices


def random_choices(seed: int) -> Table:
    """Three iterations and three heads of two models, feeds and margins, with misses and ties."""
    generator = np.random.default_rng(seed)
    parts = []
    for model, feed, margin in (("small", "logits", 0.0), ("small", "box", 0.0), ("other", "logits", 5.0)):
        for iteration in (1, 2, 3):
            dice = {
                f"P{patient}{letter}": float(generator.integers(0, 5)) / 4 for patient in range(6) for letter in "ab"
            }
            part = masks(dice, model=model, feed=feed, margin_mm=margin, iteration=iteration, head_choice="head_2")
            part["predicted_iou"] = generator.integers(0, 4, len(part)) / 4
            if iteration == 1:
                for head in (1, 2, 3):
                    part[f"head_{head}_dice"] = generator.integers(0, 5, len(part)) / 4
                    part[f"head_{head}_predicted_iou"] = generator.integers(0, 4, len(part)) / 4
            parts.append(part)
    return pd.concat(parts).sample(frac=1, random_state=seed)


def chosen_by_hand(rows: list[dict[str, Any]], by: Callable[[dict[str, Any]], float]) -> float:
    """Mean Dice of the candidate that is best by something, of each prompt; among equals the first."""
    found = []
    for prompt in sorted({row["prompt"] for row in rows}):
        candidates = sorted((row for row in rows if row["prompt"] == prompt), key=lambda row: row["number"])
        best = candidates[0]
        for candidate in candidates[1:]:
            best = candidate if by(candidate) > by(best) else best
        found.append(best["dice"])
    return sum(found) / len(found)


@pytest.mark.parametrize("seed", range(4))
def test_choices_are_those_of_a_loop_over_prompts_and_no_choice_beats_the_oracle(seed: int) -> None:
    scores = random_choices(seed)
    table = choices_table(scores, lesions_of(scores), BOOTSTRAP)
    groups = [("small", "logits", 0.0), ("small", "box", 0.0), ("other", "logits", 5.0)]
    assert len(table) == len(groups) * 2 * 5
    for model, feed, margin in groups:
        part = scores[(scores["model"] == model) & (scores["feed"] == feed)]
        iterations = [
            {"prompt": row.prompt_id, "number": row.iteration, "dice": row.dice, "predicted": row.predicted_iou}
            for row in part.itertuples()
        ]
        heads = [
            {
                "prompt": row["prompt_id"],
                "number": head,
                "dice": row[f"head_{head}_dice"],
                "predicted": row[f"head_{head}_predicted_iou"],
            }
            for _, row in part[part["iteration"] == 1].iterrows()
            for head in (1, 2, 3)
        ]
        for among, rows, name in (("iterations", iterations, "iteration"), ("heads", heads, "head")):
            here = table[(table["model"] == model) & (table["feed"] == feed) & (table["among"] == among)]
            assert (here["margin_mm"] == margin).all()
            expected = {f"{name} {number}": [r["dice"] for r in rows if r["number"] == number] for number in (1, 2, 3)}
            means = {choice: sum(dice) / len(dice) for choice, dice in expected.items()}
            means["best by predicted IoU"] = chosen_by_hand(rows, lambda row: row["predicted"])
            means["best by the reference"] = chosen_by_hand(rows, lambda row: row["dice"])
            found = here.set_index("choice")
            assert found["dice"].to_dict() == pytest.approx(means)
            assert found["dice_difference"].to_dict() == pytest.approx(
                {choice: mean - means[f"{name} 1"] for choice, mean in means.items()}
            )
            missed = {choice: sum(value == 0 for value in dice) for choice, dice in expected.items()}
            assert {choice: found.loc[choice, "missed"] for choice in missed} == missed
            assert (found["n"] == 12).all()
            assert (found["patients"] == 6).all()
            oracle = found.loc["best by the reference"]
            for column in ("dice", "dice_low", "dice_high", "dice_difference", "dice_difference_low"):
                assert (oracle[column] >= found[column] - 1e-12).all(), column
            assert found["mark"].to_dict() == dict.fromkeys(means, "") | {"best by the reference": "oracle"}


def test_choices_agree_with_the_segmentation_table() -> None:
    """The same masks under another name: `iteration 1`, and what went on where the model's own estimate chose."""
    scores = random_choices(9).sort_values(["model", "feed", "prompt_id", "iteration"], ignore_index=True)
    # `idxmax` gives the first of equals, which is the earliest iteration in this order.
    first = scores.groupby(["model", "feed", "prompt_id"])["predicted_iou"].idxmax()
    scores = scores.assign(chosen=scores.index.isin(first), choice="predicted_iou")
    known = lesions_of(scores)
    table = segmentation_table(scores, known, BOOTSTRAP)
    choices = choices_table(scores, known, BOOTSTRAP)
    columns = ["dice", "dice_low", "dice_high", "n", "patients", "missed"]
    for selection, choice in (("iteration 1",) * 2, ("iteration 3",) * 2, ("chosen", "best by predicted IoU")):
        one_way = table[(table["split"] == "test") & (table["selection"] == selection)].set_index(KEYS)
        other = choices[(choices["among"] == "iterations") & (choices["choice"] == choice)].set_index(KEYS)
        np.testing.assert_allclose(one_way[columns].to_numpy(float), other.loc[one_way.index, columns].to_numpy(float))


def test_choices_are_of_test_lesions_and_of_prompts_with_every_iteration() -> None:
    first, second = masks({"P1a": 0.2, "P2a": 0.4, "P3a": 0.6}), masks({"P1a": 0.8, "P3a": 0.1}, iteration=2)
    floor = masks({"P1a": 1.0}, model="ellipse")
    known = lesions_of(first)
    known.loc["P3a", "split"] = "train"
    table = choices_table(pd.concat([first, second, floor]), known, BOOTSTRAP)
    assert set(table["model"]) == {"small"}
    assert table.set_index("choice")["dice"].to_dict() == pytest.approx(
        {"iteration 1": 0.2, "iteration 2": 0.8, "best by predicted IoU": 0.2, "best by the reference": 0.8}
    )
    assert (table["n"] == 1).all()


# Subgroups


def test_groups_have_the_numbers_of_a_table_of_their_lesions_alone() -> None:
    generator = np.random.default_rng(4)
    dice = {f"P{patient}{letter}": float(generator.uniform(0.1, 1)) for patient in range(8) for letter in "ab"}
    scores = pd.concat([masks(dice), masks(dict.fromkeys(dice, 0.5), model="ellipse")])
    known = lesions_of(scores)
    known["density"] = pd.array([1, 2, None, 4] * 4, dtype="Int64")
    known["lesion_type"] = ["mass", "calcification", "unknown", "mass"] * 4
    known["source"] = ["B", "A"] * 8
    known["malignant"] = pd.array([0, 1, 1, None] * 4, dtype="Int64")
    known["diameter_mm"] = [float(number) for number in range(1, 13)] + [np.nan] * 4
    table = segmentation_subgroups(scores, known, BOOTSTRAP)
    diameter = known["diameter_mm"]
    expected = {
        ("breast density", "1"): known["density"] == 1,
        ("breast density", "2"): known["density"] == 2,
        ("breast density", "4"): known["density"] == 4,
        ("breast density", "not known"): known["density"].isna(),
        **{("lesion type", name): known["lesion_type"] == name for name in ("mass", "calcification", "unknown")},
        **{("source", name): known["source"] == name for name in "AB"},
        ("label", "benign"): known["malignant"] == 0,
        ("label", "malignant"): known["malignant"] == 1,
        ("label", "not known"): known["malignant"].isna(),
        # Thirds of 1 to 12 mm end at 4.67 and 8.33 mm.
        ("longest diameter", "up to 4.7 mm"): diameter <= 4,
        ("longest diameter", "4.7 to 8.3 mm"): (diameter >= 5) & (diameter <= 8),
        ("longest diameter", "over 8.3 mm"): diameter >= 9,
        ("longest diameter", "not known"): diameter.isna(),
    }
    assert len(table) == 2 * len(expected)
    numbers = [name for name in table.columns if name not in {"grouping", "group", "mark", *KEYS}]
    for (grouping, group), members in expected.items():
        inside = known[members.fillna(False).to_numpy(dtype=bool)]
        alone = segmentation_table(scores[scores["lesion_id"].isin(inside.index)], inside, BOOTSTRAP)
        for model in ("small", "ellipse"):
            found = one(table, grouping=grouping, group=group, model=model)
            same = one(alone, split="test", model=model, selection="chosen")
            np.testing.assert_allclose(found[numbers].astype(float), same[numbers].astype(float), err_msg=group)
        values = [dice[lesion] for lesion in inside.index]
        small = one(table, grouping=grouping, group=group, model="small")
        assert (small["dice"], small["n"]) == (pytest.approx(sum(values) / len(values)), len(values))
        assert small["dice_difference"] == pytest.approx(sum(values) / len(values) - 0.5)


def test_groups_hold_only_masks_that_went_on_of_the_test_split() -> None:
    scores = pd.concat([masks({"P1a": 0.2, "P2a": 0.4}), masks({"P1a": 0.9, "P2a": 0.9}, iteration=2)])
    scores = pd.concat([scores, masks({"P1a": 0.7, "P2a": 0.7}, feed="box", chosen=False)])
    known = lesions_of(scores)
    known.loc["P2a", "split"] = "validation"
    table = segmentation_subgroups(scores, known, BOOTSTRAP)
    assert (table["dice"] == 0.2).all()
    assert (table["feed"] == "logits").all()
    assert (table["n"] == 1).all()


# Diameter


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


# Whole runs


def tables_of(run: Any, output: Path) -> Path:
    """Write the tables of a run and none of its figures, which cost most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "write_figures", lambda *_: None)
        compare(SETTINGS, output=output, **run.inputs())
    return output


@pytest.fixture(scope="module")
def comparison(run: Any) -> Path:
    return tables_of(run, run.root / "comparison_of_scores")


def test_mean_dice_by_margin_is_that_of_a_loop_over_the_files(comparison: Path, run: Any) -> None:
    table = pd.read_csv(comparison / "segmentation.csv", keep_default_na=False, na_values=[""])
    lesions = pd.concat([pd.read_parquet(folder / "lesions.parquet") for folder in run.images])
    split = dict(zip(lesions["lesion_id"], lesions["split"], strict=True))
    sums: dict[tuple[str, str, float, int], list[float]] = {}
    ellipses: dict[str, float] = {}
    for folder in run.segmentation:
        for row in pd.read_parquet(folder / "scores.parquet").to_dict("records"):
            if row["model"] == "ellipse":
                ellipses[row["prompt_id"]] = row["dice"]
                continue
            for part in {split[row["lesion_id"]], "all"} & {"test", "all"}:
                key = (part, row["model"], row["margin_mm"], row["iteration"])
                sums.setdefault(key, []).append(row["dice"])
    assert len(sums) == 2 * 2 * 4 * 3
    models = table[table["model"] != "ellipse"]
    assert len(models) == 2 * 2 * 4 * 4
    for (part, model, margin, iteration), dice in sums.items():
        found = one(models, split=part, model=model, margin_mm=margin, selection=f"iteration {iteration}")
        assert found["dice"] == pytest.approx(sum(dice) / len(dice), rel=1e-5)
        assert found["n"] == len(dice) == (20 if part == "test" else 60)
        assert found["missed"] == sum(value == 0 for value in dice)
        assert found["dice_low"] <= found["dice"] <= found["dice_high"]
        if iteration == 1:
            chosen = one(models, split=part, model=model, margin_mm=margin, selection="chosen")
            assert chosen["dice"] == found["dice"]
    # The floor stands once, though both models' folders hold it.
    floor = table[(table["model"] == "ellipse") & (table["split"] == "all")]
    assert floor["n"].tolist() == [60] * 4
    assert floor["dice"].tolist() == pytest.approx([0.9 * np.exp(-margin / 9) for margin in (0, 5, 10, 20)], rel=1e-5)
    assert sum(ellipses.values()) / len(ellipses) == pytest.approx(floor["dice"].mean(), rel=1e-5)


def test_groups_of_a_run_add_up_to_its_test_lesions(comparison: Path) -> None:
    table = pd.read_csv(comparison / "segmentation_subgroups.csv", keep_default_na=False, na_values=[""])
    whole = pd.read_csv(comparison / "segmentation.csv", keep_default_na=False, na_values=[""])
    whole = whole[(whole["split"] == "test") & (whole["selection"] == "chosen")].set_index(["model", "margin_mm"])
    sums = table.assign(dice_sum=table["dice"] * table["n"]).groupby(["grouping", "model", "margin_mm"])
    for name in ("n", "missed", "lesions"):
        for (grouping, model, margin), value in sums[name].sum().items():
            assert value == whole.loc[(model, margin), name], (grouping, model, margin)
    for (grouping, model, margin), value in sums["dice_sum"].sum().items():
        expected = whole.loc[(model, margin), "dice"] * whole.loc[(model, margin), "n"]
        assert value == pytest.approx(expected, rel=1e-4), (grouping, model, margin)
    assert set(table["grouping"]) == {"lesion type", "longest diameter", "breast density", "source", "label"}


def test_every_row_of_every_table_says_what_the_study_is(
    comparison: Path, write_run: Callable[..., Any], tmp_path: Path
) -> None:
    for path in comparison.glob("*.csv"):
        table = pd.read_csv(path)
        assert ("note" in table.columns) == (path.stem not in NOT_RESULTS), path.name
        if "note" in table.columns:
            assert len(table) > 0
            assert table["note"].str.startswith("phantom").all(), path.name

    run = write_run(tmp_path, patients=12, phantom=False)
    study = json.loads((run.cohort / "study.json").read_text())
    study |= {"split": {"method": "by_image", "leaking": True}, "notes": ["labels follow BI-RADS; no biopsy"]}
    (run.cohort / "study.json").write_text(json.dumps(study))
    tables_of(run, tmp_path / "comparison")
    for name in SEGMENTATION_TABLES:
        table = pd.read_csv(tmp_path / "comparison" / f"{name}.csv")
        assert len(table) > 0
        assert (table["note"] == "leaking split; labels follow BI-RADS, no biopsy").all(), name
        assert table["leaking"].all()


def test_a_study_of_boxes_has_empty_tables_with_all_their_columns(
    comparison: Path, write_run: Callable[..., Any], tmp_path: Path
) -> None:
    run = write_run(tmp_path, patients=12, with_masks=False)
    tables_of(run, tmp_path / "comparison")
    for name in SEGMENTATION_TABLES:
        table = pd.read_csv(tmp_path / "comparison" / f"{name}.csv")
        assert table.empty, name
        assert table.columns.tolist() == pd.read_csv(comparison / f"{name}.csv").columns.tolist()


# Figures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Keep the figures that are drawn, and write none."""
    figures: list[Figure] = []

    @contextmanager
    def keep(path: Path, height: float) -> Iterator[Figure]:
        figures.append(Figure(figsize=(5, height)))
        yield figures[-1]

    monkeypatch.setattr(segmentation_figures, "drawing", keep)
    return figures


def test_the_lines_of_the_margin_figure_are_the_rows_of_the_table(drawn: list[Figure]) -> None:
    parts = [masks({"P1a": 0.9 - margin / 50, "P2a": 0.8}, margin_mm=margin) for margin in (10.0, 0.0, 5.0)]
    parts += [masks({"P1a": 0.1, "P2a": 0.1}, margin_mm=margin, iteration=2) for margin in (0.0, 5.0, 10.0)]
    parts += [masks({"P1a": 0.5, "P2a": 0.3}, margin_mm=margin, model="ellipse") for margin in (0.0, 5.0, 10.0)]
    scores = pd.concat(parts)
    known = lesions_of(scores)
    known.loc["P3a"] = known.loc["P2a"].where(known.columns != "split", "train")
    table = segmentation_table(pd.concat([scores, masks({"P3a": 0.0}, margin_mm=0.0)]), known, BOOTSTRAP)
    segmentation_figures.draw_dice_against_margin(Path("unused.png"), table, phantom=True)
    axes = drawn[0].axes[0]
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()}
    assert lines["small"][0] == [0, 5, 10]
    assert lines["small"][1] == pytest.approx([0.85, 0.8, 0.75])
    assert lines["ellipse in the box (floor)"][1] == pytest.approx([0.4] * 3)
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_title().get_text() == "test split, n = 2 lesions"


def test_the_diameter_figure_shows_lesions_of_unknown_label_too(drawn: list[Figure]) -> None:
    table = masks({"P1a": 0.2, "P2a": 0.4, "P3a": 0.6, "P4a": 0.8})
    kept = table[["model", "field_of_view", "lesion_id", "prompt_id"]]
    known = lesions_of(table, malignant=pd.array([0, 1, None, None], dtype="Int64"))
    rows = dice_by_diameter(table, kept, known)
    segmentation_figures.draw_dice_against_diameter(
        Path("unused.png"), rows, diameter_correlation(rows, BOOTSTRAP), phantom=False
    )
    axes = drawn[0].axes[0]
    points = {str(part.get_label()): np.asarray(part.get_offsets()).tolist() for part in axes.collections}
    assert points == {
        "benign (1)": [[1, 0.2]],
        "malignant (1)": [[2, 0.4]],
        "label not known (2)": [[3, 0.6], [4, 0.8]],
    }
    assert "n = 4, r = 1.00, rho = 1.00" in axes.get_title(loc="center")
