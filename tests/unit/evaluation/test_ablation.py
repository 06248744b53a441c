"""The table of an ablation against differences computed by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up_scores import lesions_of, masks

from mammoflow.config.ablation import AblationSettings
from mammoflow.evaluation.ablation import ABLATION_COLUMNS, ablation_table
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.candidates import CLASSIFIER, Candidate
from mammoflow.tables.files import empty_table
from mammoflow.tables.masks import SEGMENTATION_SCORES

BOOTSTRAP = PatientBootstrap(resamples=200, confidence=0.95, seed=1)
SEEDS = {"0": {"seconds": 1.5, "trainable_parameters": 9}, "1": {"seconds": 2.5, "trainable_parameters": 9}}
DICE = {"unet": [0.2, 0.4, 0.6, 0.8], "unet-bce": [0.3, 0.4, 0.4, 0.8]}
LESIONS = pd.DataFrame(
    {"split": "test", "malignant": [True, False] * 10, "patient_id": [f"P{place}" for place in range(20)]},
    index=[f"L{place}" for place in range(20)],
)


def made_up() -> Any:
    maps = [
        {"model": model, "image_id": f"I{place}", "patient_id": f"P{place}", "split": "test", "fully_annotated": True,
         "reference_area_mm2": 9.0, "dice": dice, "seen": place == 0 and model == "unet"}
        for model, values in DICE.items()
        for place, dice in enumerate(values)
    ]  # fmt: skip
    weights = {"unet-bce": {"training": {"trainable_parameters": 7, "seconds": 2.5}}}
    images = pd.DataFrame({"image_id": [f"I{place}" for place in range(4)]})
    training = {"crop-plain": {"seeds": SEEDS}}
    return SimpleNamespace(maps=pd.DataFrame(maps), images=images, weights=weights, training=training)


def classifier(name: str, *per_seed: list[float]) -> Candidate:
    runs = {
        seed: pd.DataFrame({"score": scores, "predicted": 0.0, "threshold": 0.5}, index=LESIONS.index)
        for seed, scores in enumerate(per_seed)
    }
    return Candidate(name, CLASSIFIER, runs)


def test_automatic_models_and_classifiers_are_compared_with_their_base() -> None:
    perfect = [1.0, 0.0] * 10
    wrong_once = [-1.0, *perfect[1:]]  # the first malignant lesion is below all ten benign ones: AUC 0.9
    candidates = [classifier("crop", perfect, perfect), classifier("crop-plain", wrong_once, perfect)]
    changes = {"models": {"unet": {"bce": {"x": 1}}}, "classifiers": {"crop": {"plain": {"x": 1}, "lost": {"x": 1}}}}
    settings = AblationSettings.model_validate(changes)
    table = ablation_table(settings, made_up(), empty_table(SEGMENTATION_SCORES), candidates, LESIONS, BOOTSTRAP)
    assert [*table.columns] == [*ABLATION_COLUMNS]
    rows = table.set_index("model")
    assert table["change"].tolist() == ["unchanged", "bce", "unchanged", "plain"]
    assert rows.loc["unet", "value"] == pytest.approx(0.5)
    assert np.isnan(rows.loc["unet", "difference"])
    assert rows.loc["unet-bce", ["value", "difference"]].tolist() == pytest.approx([0.475, -0.025])
    assert rows.loc["unet-bce", ["trainable_parameters", "training_seconds"]].tolist() == [7, 2.5]
    assert rows["patients_seen"].tolist()[:2] == [1, 0]
    assert rows.loc["crop-plain", ["value", "difference"]].tolist() == pytest.approx([0.95, -0.05])
    assert rows.loc["crop-plain", ["n", "seeds", "training_seconds"]].tolist() == [20, 2, 4.0]
    assert rows.loc["crop-plain", "trainable_parameters"] == 9
    assert rows.loc["crop-plain", "difference_low"] < -0.05 < rows.loc["crop-plain", "difference_high"]


def test_classifiers_without_a_common_seed_have_the_mean_over_their_own() -> None:
    perfect = [1.0, 0.0] * 10
    wrong_once = [-1.0, *perfect[1:]]
    changed = classifier("crop-plain", wrong_once, perfect, wrong_once)
    changed = replace(changed, runs={seed + 10: scores for seed, scores in changed.runs.items()})
    settings = AblationSettings.model_validate({"classifiers": {"crop": {"plain": {"seeds": [10, 11, 12]}}}})
    candidates = [classifier("crop", perfect, perfect), changed]
    table = ablation_table(settings, made_up(), empty_table(SEGMENTATION_SCORES), candidates, LESIONS, BOOTSTRAP)
    assert table["seeds"].tolist() == [2, 3]
    assert table.loc[1, ["value", "difference"]].tolist() == pytest.approx([1 - 0.2 / 3, -0.2 / 3])


def test_images_of_unknown_malignancy_take_no_part() -> None:
    run = made_up()
    run.images = run.images.assign(labelled=[False, True, True, True])
    run.lesions = pd.DataFrame({"image_id": run.images["image_id"], "malignant": [None, 0, 1, 1]})
    settings = AblationSettings.model_validate({"models": {"unet": {"bce": {"x": 1}}}})
    table = ablation_table(settings, run, empty_table(SEGMENTATION_SCORES), [], LESIONS, BOOTSTRAP)
    assert table["n"].tolist() == [3, 3]
    assert table["value"].tolist() == pytest.approx([0.6, 1.6 / 3])
    assert table.loc[1, "difference"] == pytest.approx(-0.2 / 3)


def test_promptable_models_are_compared_on_the_same_prompts() -> None:
    given = {"tuned": {"P1a": 0.5, "P2a": 0.7}, "tuned-rank": {"P1a": 0.6, "P2a": 0.9, "P3a": 0.1}}
    scores = pd.concat([masks(dice, model=model) for model, dice in given.items()], ignore_index=True)
    run = SimpleNamespace(maps=made_up().maps, images=made_up().images, weights={}, training={})
    settings = AblationSettings.model_validate({"models": {"tuned": {"rank": {"x": 1}}}})
    table = ablation_table(settings, run, scores, [], lesions_of(scores), BOOTSTRAP)
    assert table[["model", "n"]].to_numpy().tolist() == [["tuned", 2], ["tuned-rank", 3]]
    assert table["value"].tolist() == pytest.approx([0.6, 1.6 / 3])
    assert table.loc[1, "difference"] == pytest.approx((0.1 + 0.2) / 2)


def test_a_run_without_an_ablation_has_no_row() -> None:
    scores = empty_table(SEGMENTATION_SCORES)
    assert ablation_table(AblationSettings(), made_up(), scores, [], LESIONS, BOOTSTRAP).empty
