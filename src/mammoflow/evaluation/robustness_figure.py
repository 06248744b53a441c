"""The figure of robustness: Dice and AUC of each model against the level of each degradation."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from mammoflow.evaluation.drawing import (
    COLOURS,
    GREY,
    MARKERS,
    dashes,
    drawing,
    name_artists,
    put_title,
    say_nothing_to_draw,
    write_data,
)
from mammoflow.tables.robustness import NONE

UNITS = {
    "gaussian_noise": "noise, standard deviation as a share of the range of levels",
    "blur": "blur, sigma in mm",
    "contrast": "contrast, factor",
    "gamma": "gamma, exponent",
    "jpeg": "JPEG, quality",
    "resolution": "resolution, factor of downsampling",
    "spacing": "pixel spacing taken wrong, share",
    "label": "film label, width in mm",
}

UNCHANGED = {"contrast": 1.0, "gamma": 1.0, "resolution": 1.0, "jpeg": math.inf}
"""Level without an effect; 0 for the others."""

DOWNWARDS = ("contrast", "jpeg")
"""Degradations whose smaller levels are the stronger ones."""

COLUMNS = 2
"""Panels beside each other."""

LONGEST_LINE = 34
"""Letters of a line below a panel."""

SHIFT = 0.04
"""Distance between the intervals of two models, in steps between levels."""


def draw_robustness(path: Path, table: pd.DataFrame, phantom: bool, titles: Mapping[str, str]) -> None:
    """Draw a panel for each degradation with a line for each model, and write its data beside it.

    Levels are in their order with equal steps; the undegraded images are the level `none`.

    Parameters
    ----------
    path
        PNG file to write.
    table
        Of the schema ROBUSTNESS.
    phantom
        Whether the study is made of phantoms.
    titles
        Titles of classifiers by name.
    """
    write_data(path, table, phantom)
    degradations = [name for name in dict.fromkeys(table["degradation"]) if name != NONE]
    models = list(dict.fromkeys(zip(table["kind"], table["model"], strict=True)))
    rows = max(1, math.ceil(len(degradations) / COLUMNS))
    with drawing(path, 0.8 + 2.2 * rows + 0.17 * len(models)) as figure:
        put_title(figure, "Scores on degraded test images", phantom)
        panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
        for panel in panels[max(1, len(degradations)) :]:
            panel.set_axis_off()
        if not degradations:
            say_nothing_to_draw(panels[0], "no degradation was asked for")
        for panel, name in zip(panels, degradations, strict=False):
            _draw_panel(panel, name, table[table["degradation"].isin([NONE, name])], models, titles)
        if degradations:
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=1)


def _draw_panel(
    panel: Axes, name: str, table: pd.DataFrame, models: list[tuple[str, str]], titles: Mapping[str, str]
) -> None:
    levels = table["level"].where(table["degradation"] != NONE, UNCHANGED.get(name, 0.0))
    table = table.assign(at=levels)
    ordered = sorted(set(levels), reverse=name in DOWNWARDS)
    for place, (kind, model) in enumerate(models):
        rows = table[(table["kind"] == kind) & (table["model"] == model)].copy()
        rows["place"] = [ordered.index(level) for level in rows["at"]]
        rows = rows.sort_values("place")
        across = rows["place"] + SHIFT * (place - (len(models) - 1) / 2)
        oracle = " (oracle)" if rows["note"].str.contains("oracle").any() else ""
        shown = titles.get(model) or model.replace("_", " ")
        colour = COLOURS[place % len(COLOURS)]
        style: dict[str, Any] = {
            "color": colour,
            "linestyle": dashes(place),
            "marker": MARKERS[place % len(MARKERS)],
        }
        (line,) = panel.plot(
            across,
            rows["value"],
            linewidth=1.4,
            markersize=4,
            label=f"{shown}, {rows['score'].iloc[0]}{oracle}",
            **style,
        )
        bars = panel.vlines(across, rows["low"], rows["high"], color=colour, alpha=0.6)
        name_artists(shown, [line, bars])
    names = ["none" if level == UNCHANGED.get(name, 0.0) else f"{level:g}" for level in ordered]
    panel.set_xticks(range(len(ordered)), names)
    panel.set_xlabel(textwrap.fill(UNITS[name], LONGEST_LINE), fontsize=8)
    panel.set_ylabel("Dice or AUC", fontsize=8)
    panel.set_ylim(0, 1.02)
    sizes, patients = (f"{int(table[column].max())}" for column in ("n", "patients"))
    panel.set_title(f"n = {sizes} lesions of {patients} patients", fontsize=8, color=GREY)
