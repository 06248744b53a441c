"""The figures of learning curves: loss and validation score of each model by epoch, a line for each seed and fold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from mammoflow.evaluation.candidates import display_name
from mammoflow.evaluation.drawing import COLOURS, GREY, drawing, put_title, write_data

Curves = tuple[tuple[str, str, str, Any], ...]
Panels = tuple[tuple[str, Curves], ...]

LOSSES: Curves = (
    ("train_loss", "training", COLOURS[0], "-"),
    ("validation_loss", "validation", COLOURS[1], (0, (5, 1.5))),
)
PANELS: Panels = (("Loss", LOSSES), ("Validation AUC", (("validation_auc", "AUC", COLOURS[2], "-"),)))
"""Each panel of a classifier: its title, and column, label, colour and dashes of its curves."""

SEGMENTATION_PANELS: Panels = (
    ("Loss", LOSSES),
    ("Validation Dice", (("validation_dice", "Dice", COLOURS[2], "-"),)),
)

MOST_OPAQUE, LEAST_OPAQUE = 1.0, 0.35


def draw_learning_curves(
    path: Path,
    history: pd.DataFrame,
    phantom: bool,
    titles: Mapping[str, str],
    panels: Panels = PANELS,
    heading: str = "Learning curves",
) -> None:
    """Draw the learning curves of each model.

    Parameters
    ----------
    path
        The PNG.
    history
        Rows of `history.csv` in the order of the epochs, with `model` and `fold`.
    phantom
        Whether the study is made of phantoms.
    titles
        Titles of the models by name.
    panels
        What is drawn of each model.
    heading
        Title of the figure.
    """
    models = list(dict.fromkeys(history["model"]))
    write_data(path, history, phantom)
    with drawing(path, 0.9 + 1.75 * len(models)) as figure:
        grid = figure.subplots(len(models), len(panels), squeeze=False)
        put_title(figure, heading, phantom)
        for row, model in zip(grid, models, strict=True):
            trainings = [rows for _, rows in history[history["model"] == model].groupby(["fold", "seed"])]
            for axes, (title, curves) in zip(row, panels, strict=True):
                for column, label, colour, dashes in curves:
                    _draw_curves(axes, trainings, column, label, {"color": colour, "linestyle": dashes})
                for epoch in phase_ends(trainings[0]):
                    axes.axvline(epoch + 0.5, color=GREY, linewidth=0.8, linestyle=":")
                axes.set_title(f"{display_name(model, titles)}: {title}", fontsize=8, fontweight="normal")
                axes.tick_params(labelsize=7)
                axes.xaxis.get_major_locator().set_params(integer=True)
        for axes in grid[-1]:
            axes.set_xlabel("Epoch", fontsize=8)
        handles = {
            label: handle for axes in grid[0] for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)


def segmentation_curves(history: pd.DataFrame, losses: pd.DataFrame) -> pd.DataFrame:
    """Return the learning curves of segmentation models with what `draw_learning_curves` needs.

    A loss on validation that is of another kind than the training loss would share an axis with it, so it is left out.

    Parameters
    ----------
    history
        Rows of the `history.csv` of segmentation models, with `model` and `fold`.
    losses
        Rows of `losses.csv`.
    """
    same = losses.loc[losses["loss"] == losses["validation_loss_of"], "model"]
    missing = pd.Series(float("nan"), history.index)
    of_training = history.get("validation_objective", missing).fillna(history.get("validation_loss", missing))
    columns = [name for name in ("model", "fold", "epoch", "train_loss", "validation_dice") if name in history]
    shown = history[columns].assign(seed=0, phase="training", validation_dice=history.get("validation_dice", missing))
    return shown.assign(validation_loss=of_training.where(history["model"].isin(same)))


def phase_ends(training: pd.DataFrame) -> list[int]:
    """Return how many epochs of a training had passed at the end of each phase but the last."""
    lengths = training.groupby("phase", sort=False).size().cumsum()
    return [int(length) for length in lengths[:-1]]


def _draw_curves(axes: Axes, trainings: list[pd.DataFrame], column: str, label: str, style: Mapping[str, Any]) -> None:
    """Draw one curve of each training; the more there are, the fainter each is."""
    opacity = max(MOST_OPAQUE / len(trainings) ** 0.5, LEAST_OPAQUE)
    for training in trainings:
        curve = pd.Series(training[column].to_numpy(), index=range(1, len(training) + 1)).dropna()
        marker = "o" if len(curve) == 1 else ""
        axes.plot(curve.index, curve, marker=marker, linewidth=1.2, alpha=opacity, label=label, **style)
