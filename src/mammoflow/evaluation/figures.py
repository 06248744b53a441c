"""Figures of the classifiers: ROC, AUC with intervals, confusion matrices; and the entry that writes all figures."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from sklearn.metrics import roc_curve

from mammoflow.evaluation.auc_tests import best_of
from mammoflow.evaluation.calibration_figure import draw_reliability
from mammoflow.evaluation.candidates import CEILING, FLOOR, FUSION, READER, Candidate, classifier_titles, display_name
from mammoflow.evaluation.decision_curve_figure import draw_decision_curve
from mammoflow.evaluation.detection_figures import draw_froc
from mammoflow.evaluation.drawing import (
    COLOURS,
    DASHES,
    GREY,
    INK,
    WIDTH_INCHES,
    drawing,
    put_title,
    say_nothing_to_draw,
)
from mammoflow.evaluation.few_labels_figure import draw_few_labels
from mammoflow.evaluation.forest_figure import draw_forest
from mammoflow.evaluation.inputs import Run
from mammoflow.evaluation.learning_curves import draw_learning_curves
from mammoflow.evaluation.segmentation_figures import (
    draw_dice_against_diameter,
    draw_dice_against_margin,
    draw_dice_by_iteration,
)

LONGEST_NAME = 36
"""Characters of a name in the figure of AUCs; a longer one of a fusion or a mean goes over two lines."""

MATRICES_ABREAST = 4
COLUMN_CELLS = 3.0
"""Width of a confusion matrix and of the room beside it, in cells."""

LONGEST_LINE = 20
"""Characters of a line above a confusion matrix."""


def write_figures(
    folder: Path,
    run: Run,
    candidates: Sequence[Candidate],
    lesions: pd.DataFrame,
    tables: dict[str, pd.DataFrame],
) -> None:
    """Write every figure as PNG.

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
    """
    test = lesions[lesions["split"] == "test"]
    titles = classifier_titles(run.training)
    draw_roc(folder / "roc.png", candidates, test, run.phantom, titles)
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
    (folder / "froc.png").unlink(missing_ok=True)
    if len(run.maps):
        draw_froc(folder / "froc.png", tables["froc"], tables["detection"], run.phantom)
    (folder / "few_labels.png").unlink(missing_ok=True)
    if len(tables["few_labels"]):
        draw_few_labels(folder / "few_labels.png", tables["few_labels"], run.phantom)
    (folder / "learning_curves.png").unlink(missing_ok=True)
    if len(run.history):
        draw_learning_curves(folder / "learning_curves.png", run.history, run.phantom, titles)


def draw_roc(
    path: Path, candidates: Sequence[Candidate], lesions: pd.DataFrame, phantom: bool, titles: Mapping[str, str]
) -> None:
    """Draw the ROC curve of each model and seed, BI-RADS' operating points on its own curve, floors in grey."""
    with drawing(path, 6.6) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#cbd2d9", linewidth=1, linestyle=":")
        colour = 0
        for candidate in candidates:
            scored = candidate.scored(lesions)
            label = lesions.loc[scored, "malignant"].to_numpy(dtype=int)
            if len(np.unique(label)) < 2:
                continue
            scores = [run.loc[scored, "score"].to_numpy(dtype=float) for run in candidate.runs.values()]
            if candidate.family == READER:
                _draw_reader(axes, candidate, label, scores[0])
            elif candidate.family == FUSION:
                continue  # twice as many curves as classifiers; the figure of AUCs has them
            elif candidate.family in (FLOOR, CEILING):
                _draw_curves(
                    axes,
                    "floors" if candidate.family == FLOOR else "ceiling",
                    label,
                    scores,
                    {"color": "#9aa5b1", "linewidth": 0.9, "zorder": 1},
                )
            else:
                style = {"color": COLOURS[colour % len(COLOURS)], "linestyle": DASHES[colour % len(DASHES)]}
                width = 1.7 if len(scores) == 1 else 1.0
                _draw_curves(axes, _name(candidate, titles), label, scores, {**style, "linewidth": width, "zorder": 2})
                colour += 1
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="1 - specificity", ylabel="Recall (sensitivity)")
        axes.set_aspect("equal")
        put_title(figure, f"ROC on the test split, n = {len(lesions)} lesions", phantom)
        handles, labels = axes.get_legend_handles_labels()
        once = dict(zip(labels, handles, strict=True))
        figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=2)


def _name(candidate: Candidate, titles: Mapping[str, str]) -> str:
    name = display_name(candidate.model, titles)
    return f"{name} ({len(candidate.runs)} seeds)" if len(candidate.runs) > 1 else name


def _draw_curves(axes: Axes, name: str, label: np.ndarray, scores: Sequence[np.ndarray], style: dict[str, Any]) -> None:
    for score in scores:
        false_positive, true_positive, _ = roc_curve(label, score, drop_intermediate=False)
        axes.plot(false_positive, true_positive, label=name, **style)


def _draw_reader(axes: Axes, reader: Candidate, label: np.ndarray, score: np.ndarray) -> None:
    """Draw the assessment's curve, and a named point for each category that can be the cut."""
    false_positive, true_positive, cuts = roc_curve(label, score, drop_intermediate=False)
    axes.plot(false_positive, true_positive, color=INK, linewidth=2, label="BI-RADS assessment", zorder=3)
    for x, y, cut in zip(false_positive, true_positive, cuts, strict=True):
        if not np.isfinite(cut) or cut <= score.min():
            continue
        working = cut == score[score >= reader.threshold].min(initial=np.inf)
        axes.plot(
            x,
            y,
            "o",
            color=INK,
            markersize=8 if working else 4.5,
            markerfacecolor=INK if working else "white",
            zorder=4,
        )
        text = reader.model if working else f"{cut:g} and above"
        axes.annotate(
            text,
            (x, y),
            textcoords="offset points",
            xytext=(8, -11),
            fontsize=8.5,
            fontweight="bold" if working else "normal",
            zorder=5,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        )


def draw_auc(path: Path, table: pd.DataFrame, phantom: bool, titles: Mapping[str, str]) -> None:
    """Draw each candidate's AUC with its interval, n beside the name, the chance line at 0.5."""
    shown = table[table["auc"].notna()].iloc[::-1]
    with drawing(path, 1.2 + 0.34 * max(len(shown), 3)) as figure:
        axes = figure.subplots()
        put_title(figure, "AUC on the test split, with interval", phantom)
        if shown.empty:
            say_nothing_to_draw(axes, "no candidate has an AUC: the test split needs both classes")
            return
        axes.axvline(0.5, color=GREY, linewidth=1, linestyle=":")
        for place, row in enumerate(shown.to_dict("records")):
            colour = {READER: INK, FLOOR: "#7b8794", CEILING: "#7b8794", FUSION: COLOURS[2]}.get(
                row["family"], COLOURS[0]
            )
            axes.plot(
                [row["auc_low"], row["auc_high"]], [place, place], color=colour, linewidth=2.2, solid_capstyle="butt"
            )
            marker = {READER: "D", FLOOR: "o", CEILING: "o", FUSION: "^"}.get(row["family"], "s")
            axes.plot(row["auc"], place, marker, color=colour, markersize=6)
            axes.text(1.015, place, f"{row['auc']:.2f}", va="center", fontsize=9, transform=axes.get_yaxis_transform())
        reader = shown[shown["family"] == READER]
        if len(reader):
            axes.axvline(reader["auc"].iloc[0], color=INK, linewidth=0.8, linestyle="--", zorder=0)
        named = [f"{display_name(name, titles)}  (n = {n})" for name, n in zip(shown["model"], shown["n"], strict=True)]
        names = [
            name.replace(" + ", "\n+ ").replace(" (mean", "\n(mean") if len(name) > LONGEST_NAME else name
            for name in named
        ]
        axes.set_yticks(range(len(shown)), names)
        axes.grid(axis="y", visible=False)
        low = float(np.nanmin(shown[["auc", "auc_low"]].to_numpy()))
        axes.set(xlim=(min(0.4, low - 0.03), 1.0), ylim=(-0.6, len(shown) - 0.4), xlabel="AUC")


def draw_confusion(path: Path, table: pd.DataFrame, phantom: bool, titles: Mapping[str, str]) -> None:
    """Draw the confusion matrix of each candidate's first seed, shaded by share of the true class.

    All matrices are in one pair of axes, whose unit is a cell; axes of their own would take four times as long.
    """
    shown = table[table["n"] > 0].drop_duplicates("model").to_dict("records")
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
        colour = "white" if share[y, x] > 0.6 else INK
        axes.text(left + x + 0.5, top + y + 0.5, f"{count:.0f}", ha="center", va="center", color=colour, fontsize=11)
    axes.text(left + 1, top - 0.12, title, ha="center", va="bottom", fontsize=8)
    return [(left + x, top + y, float(value)) for (y, x), value in np.ndenumerate(share)]


def _draw_words(
    axes: Axes, words: Sequence[str], places: Sequence[tuple[float, float]], across: str, down: str
) -> None:
    for text, (x, y) in zip(words, places, strict=True):
        axes.text(x, y, text, ha=across, va=down, fontsize=7)
