"""Losses of every training of a run as a table, beside the scores of its model.

A loss is what a training made smaller, and no score. Losses of different kinds have different units. A soft Dice loss
comes from probabilities of training or validation images, so 1 minus it is not the Dice of masks cut at a threshold on
test images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from mammoflow.config.from_run import ELSEWHERE
from mammoflow.evaluation.inputs import Run

SEGMENTATION, CLASSIFIER = "segmentation", "classifier"
SUPERVISED = "supervised"
ENTROPY = "cross-entropy"

LOSS_OF_RECIPE = {
    "tune": "focal + dice + IoU",
    "small": "cross-entropy + dice + IoU",
    "masked_autoencoder": "squared error of hidden pixels",
    "lesion_diffusion": "squared error of v",
}
"""Losses of the recipes that have one only."""

MASK_LABELS = ("masks", "boxes")
"""Labels of which the loss by name is computed; with boxes a model made masks of them."""

MOMENTS = ("first", "kept", "last")
LOSS_COLUMNS = (
    *("model", "kind", "network", "fold", "seed", "loss", "epochs", "epoch_kept"),
    *(f"train_loss_{moment}" for moment in MOMENTS),
    "validation_loss_of",
    *(f"validation_loss_{moment}" for moment in MOMENTS),
    *("trainable_parameters", "total_parameters", "validation_dice_kept", "validation_auc_kept"),
    *("test_dice", "test_lesions_dice", "test_auc", "test_lesions_auc"),
)


def loss_table(
    runs: Mapping[int, Run], dice: pd.DataFrame, comparison: pd.DataFrame, classes: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the losses of every model that a run trained.

    Parameters
    ----------
    runs
        The run of each fold by its number; the whole run as 0 without folds.
    dice
        Rows of `dice_by_diameter.csv`: the Dice of each lesion for the mask that later stages use, 0 for a missed one.
    comparison
        Rows of `comparison.csv`.
    classes
        Rows of `classes.csv`, of classifiers of the classes of images; None without such classifiers. Their AUC is the
        mean over the classes, and its n counts images.

    Returns
    -------
    DataFrame
        One row per model, fold and seed. Epochs are counted from 1 over all phases of a training; 0 is kept where no
        epoch was better than the weights before. The training loss is
        the mean over the batches of an epoch, while the weights changed; `validation_loss_of` names the loss on the
        validation images. The scores are those of the test split, pooled over folds and, for AUC, over seeds. No row
        where nothing was trained.
    """
    test = dice[dice["split"] == "test"].groupby("model")["dice"].agg(["mean", "count"])
    aucs = comparison.drop_duplicates("model").set_index("model")[["auc", "n"]]
    if classes is not None:
        means = classes[classes["class"] == ""].drop_duplicates("model").set_index("model")[["auc", "n"]]
        aucs = pd.concat([aucs, means[~means.index.isin(aucs.index)]])
    rows = []
    for fold, run in runs.items():
        for row in (*_segmentation_rows(run), *_classifier_rows(run)):
            scores: dict[str, Any] = {}
            if row["kind"] == SEGMENTATION and row["model"] in test.index:
                scores |= dict(zip(("test_dice", "test_lesions_dice"), test.loc[row["model"]], strict=True))
            if row["kind"] == CLASSIFIER and row["model"] in aucs.index:
                scores |= dict(zip(("test_auc", "test_lesions_auc"), aucs.loc[row["model"]], strict=True))
            rows.append(row | scores | {"fold": fold})
    table = pd.DataFrame(rows, columns=[*LOSS_COLUMNS])
    return table.sort_values(["kind", "model", "fold", "seed"], ascending=[False, True, True, True], ignore_index=True)


def _segmentation_rows(run: Run) -> Iterator[dict[str, Any]]:
    """Yield what is known of each segmentation model that a run trained."""
    for model, record in run.segmenters.items():
        settings, recipe = record["settings"], record["recipe"]
        history = run.segmenter_history[run.segmenter_history["model"] == model]
        by_name = recipe == "automatic"
        loss = settings["loss"] if by_name else LOSS_OF_RECIPE.get(recipe, recipe)
        validated, measured = "validation_loss", loss
        if by_name and settings["labels"]["kind"] in MASK_LABELS:
            validated = "validation_objective"
        elif by_name:
            loss, measured = f"that of labels: {settings['labels']['kind']}", ENTROPY
        yield {
            "model": model,
            "kind": SEGMENTATION,
            "network": record["architecture"],
            "seed": settings["seed"],
            "loss": _with_trainer(loss, record["trainer"]),
            "trainable_parameters": record["trainable_parameters"],
            "total_parameters": record["total_parameters"],
            **_course(history, record["chosen_epoch"], validated, measured),
        }


def _classifier_rows(run: Run) -> Iterator[dict[str, Any]]:
    """Yield what is known of each seed of each classifier that a run trained."""
    for model, record in run.training.items():
        settings = record["settings"]
        if record.get(ELSEWHERE) or not len(run.history):
            continue
        for seed, facts in record["seeds"].items():
            history = run.history[(run.history["model"] == model) & (run.history["seed"] == int(seed))]
            if history.empty:
                continue
            before = len(history) - int((history["phase"] == history["phase"].iloc[-1]).sum())
            loss = ENTROPY if settings["class_weights"] == "none" else f"weighted {ENTROPY}"
            yield {
                "model": model,
                "kind": CLASSIFIER,
                "network": settings["network"],
                "seed": int(seed),
                "loss": _with_trainer(loss, settings["trainer"]),
                "trainable_parameters": facts["trainable_parameters"],
                "total_parameters": facts["total_parameters"],
                **_course(history, before + facts["chosen_epoch"], "validation_loss", loss),
            }


def _with_trainer(loss: str, trainer: str) -> str:
    """Return the name of a loss with the trainer that adds another one to it."""
    return loss if trainer == SUPERVISED else f"{loss} + that of {trainer}"


def _course(history: pd.DataFrame, kept: int, validated: str, measured: str) -> dict[str, Any]:
    """Return losses at the first, the kept and the last epoch, and the scores of validation at the kept one.

    Parameters
    ----------
    history
        Learning curve of one training, in the order of the epochs.
    kept
        The kept epoch, from 1; 0 where no epoch was better than the start, of which there is no loss.
    validated, measured
        Column of the loss on validation, and its name.
    """
    places = {"first": 0, "last": len(history) - 1} | ({"kept": kept - 1} if kept else {})
    values: dict[str, Any] = {"epochs": len(history), "epoch_kept": kept}
    for name, column in (("train_loss", "train_loss"), ("validation_loss", validated)):
        if column in history and history[column].notna().any():
            values |= {f"{name}_{moment}": history[column].iloc[place] for moment, place in places.items()}
    if "validation_loss_last" in values:
        values["validation_loss_of"] = measured
    for score in ("validation_dice", "validation_auc"):
        if kept and score in history:
            values[f"{score}_kept"] = history[score].iloc[kept - 1]
    return values
