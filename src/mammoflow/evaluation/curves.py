"""ROC and precision-recall figures: one with all models, and one with a panel for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from sklearn.metrics import precision_recall_curve, roc_curve

from mammoflow.evaluation.candidates import CEILING, FLOOR, FUSION, READER, Candidate, display_name
from mammoflow.evaluation.drawing import (
    COLOURS,
    GREY,
    INK,
    dashes,
    drawing,
    name_artists,
    put_legend,
    put_title,
    say_nothing_to_draw,
    wrapped,
    write_data,
)
from mammoflow.evaluation.metrics import FloatArray

FAINT = "#cbd2d9"
PANEL_COLUMNS = 4
PANEL_LETTERS, PANEL_INCHES, PANEL_LINE_INCHES = 32, 2.35, 0.13
"""Of a panel: letters of a line of its name, its height with one line, and the height of each further line."""

ASSESSMENT = "BI-RADS assessment"
NEAR, LINE_POINTS = (0.22, 0.05), 12.0
"""Differences in x and y between two points below which the label of the second one is a line of 12 points lower."""

NOTHING = "no curve: the test split needs lesions of both classes"


@dataclass(frozen=True)
class Curve:
    """The scores of one candidate on the test lesions that it scores.

    Attributes
    ----------
    model
        Its name in the tables.
    name
        Its name in figures, with the number of seeds.
    family
        Of the candidate.
    label
        1 for malignant, (lesions,).
    scores
        One array (lesions,) for each seed.
    threshold
        Of the first seed; the reader's call is a score of at least this.
    notes
        Of the candidate.
    """

    model: str
    name: str
    family: str
    label: FloatArray
    scores: list[FloatArray]
    threshold: float
    notes: str


def curves_of(candidates: Sequence[Candidate], lesions: pd.DataFrame, titles: Mapping[str, str]) -> list[Curve]:
    """Return the candidates that score test lesions of both classes, without those joined with the reader.

    There are twice as many joined ones as classifiers; the figure of AUCs has them.
    """
    curves = []
    for one in candidates:
        scored = one.scored(lesions)
        label = lesions.loc[scored, "malignant"].to_numpy(dtype=np.float64)
        if one.family == FUSION or len(np.unique(label)) < 2:
            continue
        scores = [run.loc[scored, "score"].to_numpy(dtype=np.float64) for run in one.runs.values()]
        name = display_name(one.model, titles)
        if len(scores) > 1:
            name += f" ({len(scores)} seeds)"
        name += " (oracle)" if any("oracle" in note for note in one.notes) else ""
        curves.append(Curve(one.model, name, one.family, label, scores, one.threshold, "; ".join(one.notes)))
    return curves


def roc_points(curves: Sequence[Curve]) -> pd.DataFrame:
    """Return one row for each point of each ROC curve: `false_positive_rate`, `recall` and `threshold`.

    The first point of a curve has its `note`; the others say only that the curve is an oracle.
    """
    parts = [
        _points(curve, seed, false_positive_rate=false_positive, recall=recall, threshold=cuts)
        for curve in curves
        for seed, score in enumerate(curve.scores)
        for false_positive, recall, cuts in [roc_curve(curve.label, score, drop_intermediate=False)]
    ]
    columns = ["model", "family", "run", "n", "false_positive_rate", "recall", "threshold", "note"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def precision_points(curves: Sequence[Curve]) -> pd.DataFrame:
    """Return one row for each point of each precision-recall curve: `recall`, `precision` and `threshold`.

    The first point of a curve has its `note`; the others say only that the curve is an oracle.
    """
    parts = []
    for curve in curves:
        for seed, score in enumerate(curve.scores):
            precision, recall, cuts = precision_recall_curve(curve.label, score)
            # The last point, precision 1 at recall 0, has no threshold and is no result.
            parts.append(_points(curve, seed, recall=recall[:-1], precision=precision[:-1], threshold=cuts))
    columns = ["model", "family", "run", "n", "recall", "precision", "threshold", "note"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _points(curve: Curve, seed: int, **values: FloatArray) -> pd.DataFrame:
    known = {"model": curve.model, "family": curve.family, "run": seed, "n": len(curve.label)}
    points = pd.DataFrame({**known, **values})
    # the whole note on each of a thousand points would be most of the file
    oracle = "; ".join(part for part in curve.notes.split("; ") if "oracle" in part)
    return points.assign(note=[curve.notes, *[oracle] * (len(points) - 1)])


def draw_roc(path: Path, curves: Sequence[Curve], phantom: bool) -> None:
    """Draw the ROC curve of each model and seed, BI-RADS' operating points on its own curve, floors in grey."""
    write_data(path, roc_points(curves), phantom)
    with drawing(path, 6.6) as figure:
        axes = figure.subplots()
        most = max((len(curve.label) for curve in curves), default=0)
        put_title(figure, f"ROC on the test split, n = {most} lesions", phantom)
        if not curves:
            say_nothing_to_draw(axes, NOTHING)
            return
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":")
        for curve, style in _styled(curves):
            lines = [axes.plot(*_roc(curve.label, score), **style)[0] for score in curve.scores]
            name_artists(_series_name(curve), lines)
            if curve.family == READER:
                _draw_cuts(axes, curve)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="1 - specificity", ylabel="Sensitivity (recall)")
        axes.set_aspect("equal")
        put_legend(figure, axes)


def draw_precision_recall(path: Path, curves: Sequence[Curve], phantom: bool) -> None:
    """Draw precision against recall for each model and seed, as steps, and the share of malignant lesions."""
    points = precision_points(curves)
    write_data(path, points, phantom)
    with drawing(path, 6.6) as figure:
        axes = figure.subplots()
        most = max((len(curve.label) for curve in curves), default=0)
        put_title(figure, f"Precision and recall on the test split, n = {most} lesions", phantom)
        if not curves:
            say_nothing_to_draw(axes, NOTHING)
            return
        largest = max(curves, key=lambda curve: len(curve.label))
        axes.axhline(float(largest.label.mean()), color=GREY, linewidth=1, linestyle=":")
        for curve, style in _styled(curves):
            rows = points[points["model"] == curve.model]
            lines = [
                axes.step(part["recall"], part["precision"], where="post", **style)[0]
                for _, part in rows.groupby("run")
            ]
            name_artists(_series_name(curve), lines)
            if curve.family == READER:
                called = curve.scores[0] >= curve.threshold
                if called.any():
                    recall, precision = curve.label[called].sum() / curve.label.sum(), curve.label[called].mean()
                    axes.plot(recall, precision, "o", color=INK, markersize=8, zorder=4)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="Recall (sensitivity)", ylabel="Precision (PPV)")
        axes.set_aspect("equal")
        put_legend(figure, axes)


def draw_roc_panels(path: Path, curves: Sequence[Curve], table: pd.DataFrame, phantom: bool) -> None:
    """Draw one small ROC plot for each model: its curve, that of BI-RADS, and all other models in grey.

    Parameters
    ----------
    path
        The PNG.
    curves
        Of `curves_of`.
    table
        The headline table, with AUC and interval of each model.
    phantom
        Whether the study is made of phantoms.
    """
    models = [curve for curve in curves if curve.family not in (READER, FLOOR, CEILING)]
    shown = models or [curve for curve in curves if curve.family != READER]
    areas = table.drop_duplicates("model").set_index("model")
    columns = min(PANEL_COLUMNS, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    write_data(path, roc_points([curve for curve in curves if curve.family == READER or curve in shown]), phantom)
    further = max((wrapped(curve.name, PANEL_LETTERS).count("\n") for curve in shown), default=0)
    height = 0.7 + rows * (PANEL_INCHES + PANEL_LINE_INCHES * further)
    with drawing(path, height, width_inches=max(5.6, 2.3 * columns)) as figure:
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        put_title(figure, "ROC of each model on the test split", phantom)
        if not shown:
            say_nothing_to_draw(grid[0], NOTHING)
        for axes, curve in zip(grid, shown, strict=False):
            _draw_panel(axes, curve, curves, shown)
            area = pd.Series(areas.loc[curve.model]) if curve.model in areas.index else None
            axes.set_title(_panel_title(curve, area), fontsize=8, fontweight="normal")
        for axes in grid[max(len(shown), 1) :]:
            axes.set_axis_off()
        if shown:
            figure.supxlabel("1 - specificity", fontsize=9)
            figure.supylabel("Sensitivity (recall)", fontsize=9)


def _draw_panel(axes: Axes, curve: Curve, curves: Sequence[Curve], shown: Sequence[Curve]) -> None:
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
    for other in shown:
        if other is not curve:
            axes.plot(*_roc(other.label, other.scores[0]), color=FAINT, linewidth=0.6, zorder=1)
    for reader in (each for each in curves if each.family == READER):
        axes.plot(*_roc(reader.label, reader.scores[0]), color=INK, linewidth=1.1, zorder=2)
        called = reader.scores[0] >= reader.threshold
        rates = [float(called[reader.label == label].mean()) for label in (0, 1)]
        axes.plot(*rates, "o", color=INK, markersize=4.5, zorder=4)
    for score in curve.scores:
        axes.plot(*_roc(curve.label, score), color=COLOURS[0], linewidth=1.6, zorder=3)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_aspect("equal")
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.tick_params(labelsize=7)


def _panel_title(curve: Curve, area: pd.Series | None) -> str:
    name = wrapped(curve.name, PANEL_LETTERS)
    if area is None or pd.isna(area["auc"]):
        return name
    bounds = "" if pd.isna(area["auc_low"]) else f" ({area['auc_low']:.2f} to {area['auc_high']:.2f})"
    return f"{name}\nAUC {area['auc']:.2f}{bounds}, n = {len(curve.label)}"


def _styled(curves: Sequence[Curve]) -> list[tuple[Curve, dict[str, Any]]]:
    """Return each curve with its line: BI-RADS in black, floors and the ceiling in grey, models in colours."""
    styled, colour = [], 0
    for curve in curves:
        style: dict[str, Any]
        if curve.family == READER:
            style = {"color": INK, "linewidth": 2, "zorder": 3, "label": ASSESSMENT}
        elif curve.family in (FLOOR, CEILING):
            name = "floors" if curve.family == FLOOR else "ceiling (oracle)"
            line = "-" if curve.family == FLOOR else (0, (2, 2))
            style = {"color": "#9aa5b1", "linestyle": line, "linewidth": 0.9, "zorder": 1, "label": name}
        else:
            width = 1.7 if len(curve.scores) == 1 else 1.0
            style = {"color": COLOURS[colour % len(COLOURS)], "linestyle": dashes(colour)}
            style |= {"linewidth": width, "label": curve.name}
            colour += 1
        styled.append((curve, style))
    return styled


def _series_name(curve: Curve) -> str:
    return ASSESSMENT if curve.family == READER else curve.name


def _roc(label: FloatArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the corners of a ROC curve; points on a straight part are left out."""
    false_positive, recall, _ = roc_curve(label, score)
    return false_positive, recall


def _draw_cuts(axes: Axes, reader: Curve) -> None:
    """Draw a point for each category that can be the threshold, and stack the labels of neighbouring points."""
    score, before, line, height = reader.scores[0], (-1.0, -1.0), 0, 0.0
    false_positive, recall, cuts = roc_curve(reader.label, score, drop_intermediate=False)
    for x, y, cut in zip(false_positive, recall, cuts, strict=True):
        if not np.isfinite(cut) or cut <= score.min():
            continue
        line = line + 1 if x - before[0] < NEAR[0] and y - before[1] < NEAR[1] else 0
        before, height = (x, y), height if line else y
        working = cut == score[score >= reader.threshold].min(initial=np.inf)
        face = INK if working else "white"
        axes.plot(x, y, "o", color=INK, markersize=8 if working else 4.5, markerfacecolor=face, zorder=4)
        axes.annotate(
            reader.model if working else f"{cut:g} and above",
            (x, height),
            textcoords="offset points",
            xytext=(8, -11 - LINE_POINTS * line),
            fontsize=8.5,
            fontweight="bold" if working else "normal",
            zorder=5,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        )
