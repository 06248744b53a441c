"""The table of data sets against differences computed by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up_scores import lesions_of, masks, one

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.transfer import TRANSFER_COLUMNS, transfer_table
from mammoflow.tables.files import empty_table
from mammoflow.tables.masks import SEGMENTATION_SCORES

BOOTSTRAP = PatientBootstrap(resamples=200, confidence=0.95, seed=1)
NOTHING = empty_table(SEGMENTATION_SCORES)
SOURCE = {"P1a": "A", "P2a": "A", "P3a": "B", "P4a": "B"}
FIRST, SECOND = [0.8, 0.6, 0.3, 0.1], [0.5, 0.5, 0.7, 0.7]
TRAINED = {"first": {"sources": ["A"]}, "second": {"sources": ["B"], "from": "first"}}


def made_up(**columns: Any) -> Any:
    maps = [
        {"model": model, "image_id": image, "patient_id": image[:-1], "split": "test", "fully_annotated": True,
         "reference_area_mm2": 9.0, "dice": dice, "seen": False}
        for model, values in {"first": FIRST, "second": SECOND}.items()
        for image, dice in zip(SOURCE, values, strict=True)
    ]  # fmt: skip
    images = pd.DataFrame({"image_id": [*SOURCE], "source": [*SOURCE.values()]})
    weights = {model: {"training": said} for model, said in TRAINED.items()}
    tables = {"maps": pd.DataFrame(maps), "images": images, "cohort_images": images, "weights": weights}
    return SimpleNamespace(**tables | columns)


def test_automatic_models_are_compared_with_their_start_on_each_data_set() -> None:
    table = transfer_table(made_up(), NOTHING, lesions_of(masks(dict.fromkeys(SOURCE, 0.5))), BOOTSTRAP)
    assert [*table.columns] == [*TRANSFER_COLUMNS]
    assert table["model"].tolist() == ["first", "first", "second", "second"]
    forgot, gained = (one(table, model="second", data_set=source) for source in "AB")
    assert (forgot["in_training"], gained["in_training"], forgot["started_from"]) == (False, True, "first")
    assert [forgot["dice"], forgot["difference_to_start"]] == pytest.approx([0.5, -0.2])
    assert [gained["dice"], gained["difference_to_start"]] == pytest.approx([0.7, 0.5])
    assert np.isnan(one(table, model="first", data_set="A")["difference_to_start"])


def test_automatic_models_have_no_dice_of_images_of_unknown_malignancy() -> None:
    lesions = lesions_of(masks(dict.fromkeys(SOURCE, 0.5)))
    images = made_up().images.assign(labelled=[True, False, True, True])
    known = pd.DataFrame({"image_id": [*SOURCE], "malignant": [1, None, 0, 1]})
    row = one(
        transfer_table(made_up(images=images, lesions=known), NOTHING, lesions, BOOTSTRAP), model="second", data_set="A"
    )
    assert row["n"] == 1
    assert [row["dice"], row["difference_to_start"]] == pytest.approx([0.5, -0.3])


def test_promptable_models_are_compared_on_the_same_prompts() -> None:
    scores = pd.concat(
        [masks(dict(zip(SOURCE, values, strict=True)), model=model) for model, values in
         {"first": FIRST, "second": SECOND, "given": FIRST}.items()]
    )  # fmt: skip
    lesions = lesions_of(scores).assign(source=[*SOURCE.values()])
    table = transfer_table(made_up(maps=made_up().maps.iloc[:0]), scores, lesions, BOOTSTRAP)
    forgot = one(table, model="second", data_set="A")
    assert (forgot["n"], forgot["patients"], forgot["margin_mm"], forgot["trained_on"]) == (2, 2, 10.0, "B")
    assert forgot["difference_to_start"] == pytest.approx(-0.2)
    given = one(table, model="given", data_set="B")
    assert (given["trained_on"], given["in_training"]) == ("", None)


def test_a_run_of_one_data_set_has_no_row() -> None:
    images = pd.DataFrame({"image_id": ["P1a"], "source": ["A"]})
    scores = masks({"P1a": 0.5})
    assert transfer_table(made_up(cohort_images=images), scores, lesions_of(scores), BOOTSTRAP).empty
