"""Means, misses, intervals, ellipse and marks of the score table, held to sums by hand and a bootstrap of its own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_up_scores import Table, lesions_of, masks, one

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.segmentation_choices import choices_table
from mammoflow.evaluation.segmentation_diameter import dice_by_diameter
from mammoflow.evaluation.segmentation_subgroups import segmentation_subgroups
from mammoflow.evaluation.segmentation_tables import segmentation_table

BOOTSTRAP = PatientBootstrap(400, 0.95, 3)


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
    assert (found["dice"], found["missed"]) == (0, 2)
    assert found[["dice_low", "dice_high"]].isna().all()  # two misses do not say that every lesion is missed
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
    # Tails of 0.3 lie inside the half: an interval of no width is none.
    assert interval(0.40) == pytest.approx([np.nan, 0.35, np.nan], nan_ok=True)


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
    # The difference is the same in every lesion, so no resample says how far it may be from that.
    assert loose[names].tolist() == pytest.approx([np.nan, 0.1, np.nan], nan_ok=True)
    assert loose["dice_high"] - loose["dice_low"] > 0.2
    assert (loose["ellipse_dice"], loose["dice"]) == pytest.approx((0.4, 0.5))
    tight = one(found, model="small", margin_mm=0.0)
    assert tight[names].tolist() == pytest.approx([np.nan, -0.1, np.nan], nan_ok=True)
    assert one(found, model="ellipse", margin_mm=0.0)[names].tolist() == pytest.approx([np.nan, 0, np.nan], nan_ok=True)
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
