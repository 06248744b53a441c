"""The figure of segmentation models: Dice against the number of trained parameters."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mammoflow.evaluation.candidates import display_name
from mammoflow.evaluation.drawing import (
    COLOURS,
    GREY,
    MARKERS,
    drawing,
    name_artists,
    put_title,
    write_data,
)
from mammoflow.evaluation.metrics import FloatArray
from mammoflow.evaluation.name_places import GAP, name_places
from mammoflow.evaluation.segmentation_parameters import PROMPTABLE
from mammoflow.tables.detections import AUTOMATIC

PANELS = {
    AUTOMATIC: ("Automatic models", "images", "Mean Dice of images\nwith a lesion"),
    PROMPTABLE: ("Promptable models", "lesions", "Mean Dice of lesions,\ndefault prompt"),
}
"""Title of each panel, what its Dice is a mean over, and the label of the axis."""

UNITS = ("", "k", "M", "G")
"""Of the ticks: one, a thousand, a million, a thousand million."""

BESIDE = 0.8
"""Place of models that were not trained: this many decades below the axis."""

APART, TOGETHER = 0.09, 0.4
"""Decades between points with the same number of parameters, and at most between the first and the last of them."""

LEAST_INCHES, NAME_INCHES, MOST_INCHES = 2.2, 0.17, 5.2
"""Height of a panel: of one without names, for each name, and at most."""

LONGEST_LINE = 16
"""Letters of a line of a name."""

POINT, MARGIN = 4.0, 2.0
"""Half the size of a point, and room around a name, in points of type."""

TYPE: dict[str, Any] = {"fontsize": 8, "linespacing": 1.0}
LEADER: dict[str, Any] = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": POINT}
"""Type of a name, and the line from it to its point."""


def draw_parameters(path: Path, table: pd.DataFrame, phantom: bool) -> None:
    """Draw Dice with its interval against the trained parameters, one panel for each kind of models.

    Parameters
    ----------
    path
        The PNG file.
    table
        Of `parameters_table`, with at least one row.
    phantom
        Whether the study is made of phantoms.
    """
    write_data(path, table, phantom)
    kinds = [kind for kind in PANELS if (table["kind"] == kind).any()]
    heights = [min(LEAST_INCHES + NAME_INCHES * int((table["kind"] == kind).sum()), MOST_INCHES) for kind in kinds]
    with drawing(path, 0.7 + sum(heights)) as figure:
        put_title(figure, "Trained parameters and Dice on the test split", phantom)
        panels = figure.subplots(len(kinds), 1, squeeze=False, height_ratios=heights).ravel()
        drawn = []
        for axes, kind in zip(panels, kinds, strict=True):
            rows = table[table["kind"] == kind].to_dict("records")
            numbers = np.array([row["trainable_parameters"] for row in rows], dtype=np.float64)
            across = _apart(np.array([_place(row["trainable_parameters"], numbers) for row in rows]))
            artists = _draw_points(axes, rows, across)
            _draw_axes(axes, kind, rows, numbers)
            drawn.append((axes, rows, across, artists))
        _fix_layout(figure)
        for axes, rows, across, artists in drawn:
            _draw_names(figure, axes, rows, across, artists)


def _fix_layout(figure: Figure) -> None:
    """Place the axes, since the places of names depend on their size."""
    engine = figure.get_layout_engine()
    if engine:
        engine.execute(figure)
    figure.set_layout_engine("none")


def _decades(numbers: FloatArray) -> tuple[int, int]:
    """Return the first and the last power of ten of the axis."""
    trained = np.log10(numbers[numbers > 0]) if (numbers > 0).any() else np.zeros(1)
    first = int(np.floor(trained.min()))
    return first, max(int(np.ceil(trained.max())), first + 1)


def _place(parameters: float, numbers: FloatArray) -> float:
    """Return where a number of parameters is on the axis: its logarithm, or the place of models without training."""
    return float(np.log10(parameters)) if parameters > 0 else _decades(numbers)[0] - BESIDE


def _apart(places: FloatArray) -> FloatArray:
    """Shift points with nearly the same number of parameters, so that no interval covers another one."""
    order = np.argsort(places, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(places[order]) > APART / 2) + 1)
    shifted = places.astype(np.float64)
    for group in groups:
        step = min(APART, TOGETHER / max(len(group) - 1, 1))
        shifted[group] = places[group].mean() + step * (np.arange(len(group)) - (len(group) - 1) / 2)
    return shifted


def _draw_axes(axes: Axes, kind: str, rows: list[dict[Any, Any]], numbers: FloatArray) -> None:
    """Draw the axes of a panel, with what its Dice is of."""
    first, last = _decades(numbers)
    ticks = {float(power): f"{10 ** (power % 3)} {UNITS[power // 3]}".strip() for power in range(first, last + 1)}
    room = 0.2 + 0.12 * (last - first)  # for names beside the outermost points
    places = [_place(number, numbers) for number in numbers]
    left, right = min(first - 0.15, min(places) - room), max(last + 0.15, max(places) + room)
    if (numbers == 0).any():
        ticks[first - BESIDE] = "not\ntrained"
        left = first - BESIDE - 0.5  # their names go to the right
        axes.axvline(first - BESIDE / 3, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xticks([*ticks], [*ticks.values()])
    minor = [power + np.log10(digit) for power in range(first, last) for digit in range(2, 10)]
    axes.set_xticks(minor, minor=True)
    axes.tick_params(axis="x", which="minor", length=2)
    bounds = np.array([[row[name] for name in ("dice", "dice_low", "dice_high")] for row in rows], dtype=np.float64)
    low, high = max(np.nanmin(bounds) - 0.04, -0.02), min(np.nanmax(bounds) + 0.04, 1.02)
    title, unit, label = PANELS[kind]
    axes.set(xlim=(left, right), ylim=(low, high), xlabel="Trained parameters, log scale", ylabel=label)
    sizes, patients = (", ".join(f"{n:g}" for n in sorted({row[name] for row in rows})) for name in ("n", "patients"))
    axes.set_title(f"{title}, n = {sizes} {unit} of {patients} patients", fontsize=9)


def _draw_points(axes: Axes, rows: list[dict[Any, Any]], across: FloatArray) -> list[list[Any]]:
    """Draw the points with their intervals and return the artists of each model; untuned models are grey."""
    found = []
    for place, (row, x) in enumerate(zip(rows, across, strict=True)):
        trained = row["trainable_parameters"] > 0
        colour = COLOURS[place % len(COLOURS)] if trained else GREY
        (bar,) = axes.plot([x, x], [row["dice_low"], row["dice_high"]], color=colour, linewidth=1.4, alpha=0.7)
        face = colour if trained else "white"
        (point,) = axes.plot(x, row["dice"], MARKERS[place % len(MARKERS)], color=colour, mfc=face, markersize=6)
        found.append([bar, point])
    return found


def _draw_names(
    figure: Figure, axes: Axes, rows: list[dict[Any, Any]], across: FloatArray, artists: list[list[Any]]
) -> None:
    """Write the name of each model beside its point, with a line to it where it is further away."""
    names = [display_name(str(row["model"])) + (f" ({row['mark']})" if row["mark"] else "") for row in rows]
    to_points = 72 / figure.dpi
    dice = np.array([[row[name] for name in ("dice", "dice_low", "dice_high")] for row in rows], dtype=np.float64)
    low, high = (np.where(np.isnan(bound), dice[:, 0], bound) for bound in dice.T[1:])
    points, lower, upper = (
        axes.transData.transform(np.column_stack([across, y])) * to_points for y in (dice[:, 0], low, high)
    )
    lines = [textwrap.fill(name, LONGEST_LINE) for name in names]
    sizes = np.array([_size(axes, line) for line in lines]) * to_points + 2 * MARGIN
    half = np.array([1.0, 0.0])  # of the width of an interval
    taken = np.vstack([np.hstack([points - POINT, points + POINT]), np.hstack([lower - half, upper + half])])
    corners = name_places(points, sizes, taken, np.array(axes.bbox.extents) * to_points)
    for place, (x, y) in enumerate(zip(across, dice[:, 0], strict=True)):
        nearest = np.clip(points[place], corners[place], corners[place] + sizes[place])
        start = (nearest - corners[place]) / sizes[place]
        text = axes.annotate(
            lines[place],
            (x, y),
            xytext=tuple(corners[place] + MARGIN - points[place]),
            textcoords="offset points",
            arrowprops={**LEADER, "relpos": tuple(start)},
            **TYPE,
        )
        leader: Any = text.arrow_patch
        leader.set_visible(bool(np.linalg.norm(nearest - points[place]) > 2 * GAP))
        name_artists(names[place], [*artists[place], text, leader])


def _size(axes: Axes, line: str) -> tuple[float, float]:
    """Return width and height of a text in pixels."""
    text = axes.text(0, 0, line, **TYPE)
    extent = text.get_window_extent()
    text.remove()
    return extent.width, extent.height
