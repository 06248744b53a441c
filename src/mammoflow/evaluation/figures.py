"""Figures of the classifiers: AUC with intervals and confusion matrices; and the entry that writes all figures."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from mammoflow.evaluation.auc_tests import best_of
from mammoflow.evaluation.calibration_figure import draw_reliability
from mammoflow.evaluation.candidates import CEILING, FLOOR, FUSION, READER, Candidate, classifier_titles, display_name
from mammoflow.evaluation.curves import curves_of, draw_precision_recall, draw_roc, draw_roc_panels
from mammoflow.evaluation.decision_curve_figure import draw_decision_curve
from mammoflow.evaluation.detection_figures import draw_froc
from mammoflow.evaluation.drawing import (
    COLOURS,
    GREY,
    INK,
    NO_BREAK,
    WIDTH_INCHES,
    drawing,
    put_title,
    remove_figure,
    say_nothing_to_draw,
    wrapped,
    write_data,
)
from mammoflow.evaluation.few_labels_figure import draw_few_labels
from mammoflow.evaluation.flow_figure import draw_flow
from mammoflow.evaluation.forest_figure import draw_forest
from mammoflow.evaluation.inputs import Run
from mammoflow.evaluation.learning_curves import SEGMENTATION_PANELS, draw_learning_curves, segmentation_curves
from mammoflow.evaluation.parameters_figure import draw_parameters
from mammoflow.evaluation.segmentation_figures import (
    draw_dice_against_diameter,
    draw_dice_against_margin,
    draw_dice_by_iteration,
)

LONGEST_NAME = 36
"""Characters of a line of a name in the figure of AUCs."""

ROW_INCHES, LINE_INCHES = 0.34, 0.15
"""Height of a row of the figure of AUCs, and of each further line of its name."""

MATRICES_ABREAST = 4
COLUMN_CELLS = 3.0
"""Width of a confusion matrix and of the room beside it, in cells."""

SEGMENTATION_CURVES = "learning_curves_segmentation"

LONGEST_LINE = 20
"""Characters of a line above a confusion matrix."""


AUC_COLUMNS = ("model", "family", "n", "n_malignant", "patients", "auc", "auc_low", "auc_high", "note")
CONFUSION_INK = "#14202b"
"""Not the ink of the house: it is written on the light cells of a matrix in dark windows too."""

PALE = "#fefefe"
"""Not the ground of the house, which is dark in dark windows."""


def write_figures(
    folder: Path,
    run: Run,
    candidates: Sequence[Candidate],
    lesions: pd.DataFrame,
    tables: dict[str, pd.DataFrame],
    steps: Sequence[Mapping[str, Any]],
) -> None:
    """Write every figure as PNG and SVG, with its data as CSV.

    Parameters
    ----------
    folder
        Where the figures go.
    run
        The tables of the run.
    candidates
        What the table compares.
    lesions
        Labelled lesions, indexed by lesion.
    tables
        The comparison's tables by name.
    steps
        Of the flow diagram.
    """
    test = lesions[lesions["split"] == "test"]
    titles = classifier_titles(run.training)
    curves = curves_of(candidates, test, titles)
    draw_roc(folder / "roc.png", curves, run.phantom)
    draw_roc_panels(folder / "roc_panels.png", curves, tables["comparison"], run.phantom)
    draw_precision_recall(folder / "precision_recall.png", curves, run.phantom)
    draw_auc(folder / "auc.png", tables["comparison"], run.phantom, titles)
    draw_confusion(folder / "confusion.png", tables["confusion"], run.phantom, titles)
    draw_reliability(folder / "reliability.png", tables["reliability"], run.phantom, titles)
    best = best_of(tables["auc_tests"])
    draw_decision_curve(folder / "decision_curve.png", tables["decision_curve"], best, run.phantom, titles)
    draw_forest(folder / "forest.png", tables["subgroups"], best, run.phantom, titles)
    draw_dice_against_margin(folder / "dice_margin.png", tables["segmentation"], run.phantom)
    draw_dice_by_iteration(folder / "dice_iteration.png", tables["segmentation"], run.phantom)
    draw_dice_against_diameter(
        folder / "dice_diameter.png", tables["dice_by_diameter"], tables["dice_diameter_correlation"], run.phantom
    )
    draw_flow(folder / "flow.png", steps, run.phantom)
    remove_figure(folder / "froc.png")
    if len(run.maps):
        draw_froc(folder / "froc.png", tables["froc"], tables["detection"], run.phantom)
    remove_figure(folder / "few_labels.png")
    if len(tables["few_labels"]):
        draw_few_labels(folder / "few_labels.png", tables["few_labels"], run.phantom)
    remove_figure(folder / "segmentation_parameters.png")
    if len(tables["segmentation_parameters"]):
        draw_parameters(folder / "segmentation_parameters.png", tables["segmentation_parameters"], run.phantom)
    remove_figure(folder / "learning_curves.png")
    if len(run.history):
        draw_learning_curves(folder / "learning_curves.png", run.history, run.phantom, titles)
    remove_figure(folder / f"{SEGMENTATION_CURVES}.png")
    if len(run.segmenter_history):
        shown = segmentation_curves(run.segmenter_history, tables["losses"])
        path, heading = folder / f"{SEGMENTATION_CURVES}.png", "Learning curves of segmentation models"
        draw_learning_curves(path, shown, run.phantom, {}, SEGMENTATION_PANELS, heading)


def draw_auc(path: Path, table: pd.DataFrame, phantom: bool, titles: Mapping[str, str]) -> None:
    """Draw each candidate's AUC with its interval, n beside the name, the chance line at 0.5."""
    shown = table[table["auc"].notna()].iloc[::-1]
    write_data(path, shown.iloc[::-1], phantom, AUC_COLUMNS)
    names = [_auc_name(display_name(name, titles), n) for name, n in zip(shown["model"], shown["n"], strict=True)]
    heights = np.array([ROW_INCHES + LINE_INCHES * name.count("\n") for name in names])
    places = np.cumsum(heights) - heights / 2
    with drawing(path, 1.2 + max(float(heights.sum()), 3 * ROW_INCHES)) as figure:
        axes = figure.subplots()
        put_title(figure, "AUC on the test split, with interval", phantom)
        if shown.empty:
            say_nothing_to_draw(axes, "no candidate has an AUC: the test split needs both classes")
            return
        axes.axvline(0.5, color=GREY, linewidth=1, linestyle=":")
        for place, row in zip(places, shown.to_dict("records"), strict=True):
            colour = {READER: INK, FLOOR: "#7b8794", CEILING: "#7b8794", FUSION: COLOURS[2]}.get(
                row["family"], COLOURS[0]
            )
            axes.plot(
                [row["auc_low"], row["auc_high"]], [place, place], color=colour, linewidth=2.2, solid_capstyle="butt"
            )
            marker = {READER: "D", FLOOR: "o", CEILING: "o", FUSION: "^"}.get(row["family"], "s")
            axes.plot(row["auc"], place, marker, color=colour, markersize=6, clip_on=False)
            axes.text(1.03, place, f"{row['auc']:.2f}", va="center", fontsize=9, transform=axes.get_yaxis_transform())
        reader = shown[shown["family"] == READER]
        if len(reader):
            axes.axvline(reader["auc"].iloc[0], color=INK, linewidth=0.8, linestyle="--", zorder=0)
        axes.set_yticks(places, names)
        axes.grid(axis="y", visible=False)
        low = float(np.nanmin(shown[["auc", "auc_low"]].to_numpy()))
        axes.set(xlim=(min(0.4, low - 0.03), 1.0), ylim=(0, heights.sum()), xlabel="AUC")


def _auc_name(name: str, n: int) -> str:
    """Return a name and n for the axis, on several lines if it is long; those of a fusion and a mean start with it."""
    text = f"{name}  (n{NO_BREAK}={NO_BREAK}{n})"
    if len(text) > LONGEST_NAME:
        text = text.replace(" + ", "\n+ ").replace(" (mean", "\n(mean")
    return wrapped(text, LONGEST_NAME)


def draw_confusion(path: Path, table: pd.DataFrame, phantom: bool, titles: Mapping[str, str]) -> None:
    """Draw the confusion matrix of each candidate's first seed, shaded by share of the true class.

    All matrices are in one pair of axes, whose unit is a cell; axes of their own would take four times as long.
    """
    scored = table[table["n"] > 0].drop_duplicates("model")
    write_data(path, scored, phantom)
    shown = scored.to_dict("records")
    names = [textwrap.wrap(display_name(str(row["model"]), titles), LONGEST_LINE) for row in shown]
    # above a matrix there is room for the longest name and for n
    pitch = 2.3 + 0.33 * (1 + max(map(len, names), default=1))
    rows = max(1, -(-len(shown) // MATRICES_ABREAST))
    height = pitch * rows + 0.75
    across = WIDTH_INCHES / (COLUMN_CELLS * MATRICES_ABREAST - 0.1)
    with drawing(path, 0.35 + across * height) as figure:
        axes = figure.subplots()
        put_title(figure, "Confusion matrices on the test split", phantom)
        if not shown:
            say_nothing_to_draw(axes, "no test lesion")
            return
        axes.set_axis_off()
        axes.set(
            xlim=(-0.85, COLUMN_CELLS * MATRICES_ABREAST - 0.95),
            ylim=(pitch * (rows - 1) + 2.75, 2 - pitch),
            aspect="equal",
        )
        cells: list[tuple[float, float, float]] = []
        for place, (row, name) in enumerate(zip(shown, names, strict=True)):
            left, top = COLUMN_CELLS * (place % MATRICES_ABREAST), pitch * (place // MATRICES_ABREAST)
            cells += _draw_matrix(axes, row, "\n".join([*name, f"n = {row['n']}"]), left, top)
            if left == 0:
                _draw_words(axes, ("is\nbenign", "is\nmal."), [(-0.1, top + 0.5), (-0.1, top + 1.5)], "right", "center")
            if place + MATRICES_ABREAST >= len(shown):
                under = [(left + 0.5, top + 2.1), (left + 1.5, top + 2.1)]
                _draw_words(axes, ("called\nbenign", "called\nmal."), under, "center", "top")
        squares = [[(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)] for x, y, _ in cells]
        shares = np.array([share for *_, share in cells])
        axes.add_collection(PolyCollection(squares, array=shares, cmap="Blues", clim=(0, 1.15)))


def _draw_matrix(
    axes: Axes, row: dict[Any, Any], title: str, left: float, top: float
) -> list[tuple[float, float, float]]:
    """Write the counts and the title of a matrix; return left, top and share of the true class of each cell."""
    counts = np.array(
        [[row["true_negative"], row["false_positive"]], [row["false_negative"], row["true_positive"]]], dtype=float
    )
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for (y, x), count in np.ndenumerate(counts):
        colour = PALE if share[y, x] > 0.6 else CONFUSION_INK
        axes.text(left + x + 0.5, top + y + 0.5, f"{count:.0f}", ha="center", va="center", color=colour, fontsize=11)
    axes.text(left + 1, top - 0.12, title, ha="center", va="bottom", fontsize=8)
    return [(left + x, top + y, float(value)) for (y, x), value in np.ndenumerate(share)]


def _draw_words(
    axes: Axes, words: Sequence[str], places: Sequence[tuple[float, float]], across: str, down: str
) -> None:
    for text, (x, y) in zip(words, places, strict=True):
        axes.text(x, y, text, ha=across, va=down, fontsize=7)
