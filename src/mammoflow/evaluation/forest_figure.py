"""Forest plot of the subgroups: the AUC of the best model and of BI-RADS in each group, and their difference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mammoflow.evaluation.candidates import READER, display_name
from mammoflow.evaluation.drawing import (
    COLOURS,
    GREY,
    INK,
    drawing,
    put_legend,
    put_title,
    say_nothing_to_draw,
    wrapped,
    write_data,
)
from mammoflow.evaluation.hypotheses import probability_value

LINE_INCHES, FURTHER, LONGEST_LABEL = 0.24, 0.6, 44
"""Height of a line of the plot, that of each further line of its label as a share, and letters of a line of a label."""


def draw_forest(path: Path, table: pd.DataFrame, best: str, phantom: bool, titles: Mapping[str, str]) -> None:
    """Draw one line for each group that has a figure, under the name of its grouping.

    Parameters
    ----------
    path
        The PNG file.
    table
        Of `subgroup_table`.
    best
        Name of the model that is drawn, the one with the best AUC on validation; BI-RADS alone where it is "".
    phantom
        Whether the title says that lesions are phantoms.
    titles
        Titles of classifiers by name.
    """
    reader = table[(table["family"] == READER) & table["auc"].notna()]
    model = table[(table["model"] == best) & table["auc"].notna()]
    lines = _lines(pd.concat([model, reader]))
    labels = [wrapped(_text(line, model, reader), LONGEST_LABEL) for line in lines]
    heights = np.array([1 + FURTHER * label.count("\n") for label in labels])
    write_data(path, table, phantom)
    with drawing(path, 1.5 + LINE_INCHES * max(float(heights.sum()), 4)) as figure:
        put_title(figure, "AUC in groups of the test split (malignant of n)", phantom)
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        if not lines:
            right.set_axis_off()
            say_nothing_to_draw(left, "no group of lesions has an AUC")
            return
        places = dict(zip(lines, 0.5 + heights / 2 - np.cumsum(heights), strict=True))
        name = display_name(best, titles)
        _draw(left, model, places, "auc", {"color": COLOURS[0], "fmt": "s"}, 0.12, f"{name}")
        _draw(left, reader, places, "auc", {"color": INK, "fmt": "D"}, -0.12, "BI-RADS")
        _draw(right, model, places, "auc_difference", {"color": COLOURS[0], "fmt": "s"}, 0.0, "")
        left.axvline(0.5, color=GREY, linewidth=1, linestyle=":")
        right.axvline(0, color=GREY, linewidth=1, linestyle=":")
        left.set(xlabel="AUC", ylim=(0.4 - heights.sum(), 0.7))
        right.set(xlabel="AUC less\nBI-RADS")
        left.set_yticks([*places.values()], labels, fontsize=8)
        for label, (_, group) in zip(left.get_yticklabels(), lines, strict=True):
            label.set_fontweight("normal" if group else "bold")
        for axes in (left, right):
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
        put_legend(figure, left)


def _lines(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return grouping and group of each line; the line of a grouping itself has the group ""."""
    lines: list[tuple[str, str]] = []
    pairs = table.reset_index()[["index", "grouping", "group"]].drop_duplicates(["grouping", "group"])
    for grouping, groups in pairs.sort_values("index", kind="stable").groupby("grouping", sort=False):
        lines += [(str(grouping), ""), *((str(grouping), str(group)) for group in groups["group"])]
    return lines


def _text(line: tuple[str, str], model: pd.DataFrame, reader: pd.DataFrame) -> str:
    """Return the label of a line: the grouping with its test, or the group with its numbers."""
    grouping, group = line
    shown = model if len(model) else reader
    rows = shown[shown["grouping"] == grouping]
    if not group:
        p_values = rows["interaction_p"].dropna()
        return f"{grouping} ({probability_value(p_values.iloc[0])})" if len(p_values) else grouping
    found = rows[rows["group"] == group]
    return f"{group}  ({found['n_malignant'].iloc[0]} of {found['n'].iloc[0]})" if len(found) else group


def _draw(
    axes: Axes,
    rows: pd.DataFrame,
    places: Mapping[tuple[str, str], float],
    column: str,
    style: Mapping[str, str],
    shift: float,
    label: str,
) -> None:
    """Draw the values of a column with their intervals."""
    shown = rows[rows[column].notna()]
    if shown.empty:
        return
    heights = [places[key] + shift for key in zip(shown["grouping"], shown["group"], strict=True)]
    low, high = (shown[f"{column}{end}"].astype("float64").fillna(shown[column]) for end in ("_low", "_high"))
    value = shown[column].astype("float64")
    look: dict[str, Any] = {"color": style["color"], "fmt": style["fmt"], "markersize": 4.5, "linewidth": 1.6}
    axes.errorbar(value, heights, xerr=[value - low, high - value], label=label, **look)
