"""Choices among iterations and heads, held to a loop over the prompts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up_scores import KEYS, Table, lesions_of, masks

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.segmentation_choices import choices_table
from mammoflow.evaluation.segmentation_tables import segmentation_table

BOOTSTRAP = PatientBootstrap(400, 0.95, 3)


def random_choices(seed: int) -> Table:
    """Three iterations and three heads of two models, feeds and margins, with misses and ties."""
    generator = np.random.default_rng(seed)
    parts = []
    for model, feed, margin in (("small", "logits", 0.0), ("small", "box", 0.0), ("other", "logits", 5.0)):
        # What the first iteration's heads gave is in the rows of all iterations, as the segment stage writes it.
        heads = {
            f"head_{head}_{of}": generator.integers(0, 5, 12) / 4
            for head in (1, 2, 3)
            for of in ("dice", "predicted_iou")
        }
        for iteration in (1, 2, 3):
            dice = {
                f"P{patient}{letter}": float(generator.integers(0, 5)) / 4 for patient in range(6) for letter in "ab"
            }
            part = masks(dice, model=model, feed=feed, margin_mm=margin, iteration=iteration, head_choice="head_2")
            parts.append(part.assign(predicted_iou=generator.integers(0, 4, 12) / 4, **heads))
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
                defined = found[column].dropna()  # the difference of the first row to itself has no interval
                assert (oracle[column] >= defined - 1e-12).all(), column
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


def test_choices_on_validation_stand_apart_so_that_one_is_picked_there() -> None:
    scores = pd.concat([masks({"P1a": 0.2, "P2a": 0.9}), masks({"P1a": 0.8, "P2a": 0.3}, iteration=2)])
    known = lesions_of(scores)
    known.loc["P2a", "split"] = "validation"
    table = choices_table(scores, known, BOOTSTRAP)
    fixed = table[table["choice"].isin(["iteration 1", "iteration 2"])].set_index(["split", "choice"])["dice"]
    assert fixed.to_dict() == pytest.approx(
        {
            ("test", "iteration 1"): 0.2,
            ("test", "iteration 2"): 0.8,
            ("validation", "iteration 1"): 0.9,
            ("validation", "iteration 2"): 0.3,
        }
    )
