"""The table of losses against values written by hand, and the curves that may share an axis."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from mammoflow.evaluation.learning_curves import segmentation_curves
from mammoflow.evaluation.losses import LOSS_COLUMNS, loss_table

SUPERVISED = {"trainer": "supervised", "trainable_parameters": 5, "total_parameters": 9}
NETS: dict[str, dict[str, Any]] = {
    "net": {"architecture": "unet_keras_16", "recipe": "automatic", "chosen_epoch": 2, **SUPERVISED,
            "settings": {"loss": "mse", "seed": 3, "labels": {"kind": "masks"}}},
    "weak": {"architecture": "unet_16", "recipe": "automatic", "chosen_epoch": 3, **SUPERVISED,
             "settings": {"loss": "bce", "seed": 0, "labels": {"kind": "image"}}},
    "tuned": {"architecture": "small", "recipe": "tune", "chosen_epoch": 0, **SUPERVISED, "settings": {"seed": 0}},
}  # fmt: skip
COMPARISON = pd.DataFrame({"model": ["BI-RADS", "grader"], "auc": [0.8, 0.7], "n": [50, 48]})
DICE = pd.DataFrame(
    {"model": ["net", "net", "net", "other"], "split": ["test", "test", "train", "test"], "dice": [0.0, 0.6, 1, 1]}
)


def segmenter_history() -> pd.DataFrame:
    rows = []
    for model in NETS:
        for epoch in (1, 2, 3):
            row = {"model": model, "fold": 0, "epoch": epoch, "train_loss": 1 / epoch, "validation_dice": epoch / 10}
            if model != "tuned":
                row |= {"validation_loss": 5.0 * epoch, "validation_objective": 0.2 * epoch}
            rows.append(row)
    return pd.DataFrame(rows)


def run_of() -> Any:
    """Return the parts of a run that the table reads: a classifier of two phases and two seeds beside the networks."""
    settings = {"network": "vgg16", "trainer": "mean_teacher", "class_weights": "balanced"}
    facts = {"chosen_epoch": 1, "trainable_parameters": 7, "total_parameters": 7}
    training = {"settings": settings, "seeds": {"0": facts, "1": facts}}
    rows = [
        {"model": "grader", "seed": seed, "phase": phase, "epoch": epoch, "train_loss": 10 * seed + place,
         "validation_loss": 0.5, "validation_auc": 0.1 * place}
        for seed in (0, 1)
        for place, (phase, epoch) in enumerate([("head", 1), ("head", 2), ("together", 1), ("together", 2)])
    ]  # fmt: skip
    return SimpleNamespace(
        segmenters=NETS,
        segmenter_history=segmenter_history(),
        training={"grader": training},
        history=pd.DataFrame(rows),
    )


def test_a_row_has_the_losses_at_the_first_the_kept_and_the_last_epoch() -> None:
    table = loss_table({0: run_of(), 1: run_of()}, DICE, COMPARISON)
    assert list(table.columns) == list(LOSS_COLUMNS)
    assert len(table) == 2 * (3 + 2)
    net = table[(table["model"] == "net") & (table["fold"] == 1)].iloc[0]
    assert (net["loss"], net["validation_loss_of"], net["seed"], net["epochs"], net["epoch_kept"]) == (
        "mse", "mse", 3, 3, 2
    )  # fmt: skip
    assert net[["train_loss_first", "train_loss_kept", "train_loss_last"]].tolist() == [1, 1 / 2, 1 / 3]
    # the loss by name, not the cross-entropy
    assert net[["validation_loss_first", "validation_loss_kept", "validation_loss_last"]].tolist() == pytest.approx(
        [0.2, 0.4, 0.6]
    )
    assert net["validation_dice_kept"] == 0.2
    assert (net["test_dice"], net["test_lesions_dice"]) == (0.3, 2)  # a missed lesion counts 0
    assert pd.isna(net["test_auc"])
    assert (net["trainable_parameters"], net["total_parameters"]) == (5, 9)


def test_weak_labels_and_untuned_models_say_what_is_not_known() -> None:
    table = loss_table({0: run_of()}, DICE, COMPARISON).set_index("model")
    weak, tuned = table.loc["weak"], table.loc["tuned"]
    assert (weak["loss"], weak["validation_loss_of"]) == ("that of labels: image", "cross-entropy")
    assert weak["validation_loss_kept"] == 15
    # no epoch was better than the start
    assert (tuned["epoch_kept"], tuned["train_loss_first"]) == (0, 1)
    assert tuned[["train_loss_kept", "validation_loss_of", "validation_dice_kept"]].isna().all()


def test_epochs_of_a_classifier_run_over_its_phases() -> None:
    table = loss_table({0: run_of()}, DICE, COMPARISON)
    second = table[(table["model"] == "grader") & (table["seed"] == 1)].iloc[0]
    assert (second["epochs"], second["epoch_kept"], second["train_loss_kept"]) == (4, 3, 12)
    assert second["loss"] == "weighted cross-entropy + that of mean_teacher"
    assert (second["test_auc"], second["test_lesions_auc"]) == (0.7, 48)
    classes = pd.DataFrame({"model": ["grader"] * 2, "class": ["", "normal"], "auc": [0.6, 0.9], "n": [30, 30]})
    of_classes = loss_table({0: run_of()}, DICE, COMPARISON[:1], classes).set_index("model").loc["grader"].iloc[0]
    assert (of_classes["test_auc"], of_classes["test_lesions_auc"]) == (0.6, 30)


def test_nothing_is_listed_where_nothing_was_trained() -> None:
    run = run_of()
    run.training["grader"]["trained_elsewhere"] = True
    run.segmenters, run.segmenter_history = {}, pd.DataFrame()
    assert loss_table({0: run}, DICE, COMPARISON).empty
    assert loss_table({0: SimpleNamespace(**{**vars(run), "history": pd.DataFrame()})}, DICE, COMPARISON).empty


def test_curves_share_an_axis_only_if_they_are_of_the_same_loss() -> None:
    history = segmenter_history()
    curves = segmentation_curves(history, loss_table({0: run_of()}, DICE, COMPARISON)).set_index("model")
    assert curves.loc["net", "validation_loss"].tolist() == pytest.approx([0.2, 0.4, 0.6])
    assert curves.loc[["weak", "tuned"], "validation_loss"].isna().all()
    assert curves.loc["tuned", "validation_dice"].tolist() == [0.1, 0.2, 0.3]
