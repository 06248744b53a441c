"""The confusion matrices of the classifiers of several classes, one for each classifier."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mammoflow.evaluation.candidates import display_name
from mammoflow.evaluation.class_scores import LARGEST_CLASS
from mammoflow.evaluation.drawing import drawing, put_title, write_data
from mammoflow.evaluation.figures import CONFUSION_INK, PALE

ABREAST = 2
LONGEST_LINE = 32
LONGEST_NAME = 14
DARK_FROM = 0.6
"""Share from which a cell is so dark that its number is written in a pale colour."""


def draw_class_confusion(path: Path, table: pd.DataFrame, phantom: bool, titles: Mapping[str, str]) -> None:
    """Draw the confusion matrix of each classifier, shaded by the share of the true class.

    Parameters
    ----------
    path
        The PNG.
    table
        Rows of `class_confusion.csv`; those of the floor are not drawn.
    phantom
        Whether the study is made of phantoms.
    titles
        Titles of the classifiers by name.
    """
    shown = table[table["model"] != LARGEST_CLASS]
    models = list(dict.fromkeys(shown["model"]))
    write_data(path, shown, phantom)
    rows = -(-len(models) // ABREAST)
    classes = shown["reference"].nunique()
    with drawing(path, 0.5 + rows * (1.2 + 0.4 * classes)) as figure:
        grid = figure.subplots(rows, ABREAST, squeeze=False).ravel()
        put_title(figure, "Confusion matrices of the classes on the test split", phantom)
        for axes in grid[len(models) :]:
            axes.set_axis_off()
        for axes, model in zip(grid, models, strict=False):
            _draw_matrix(axes, shown[shown["model"] == model], display_name(model, titles))


def _draw_matrix(axes: Axes, cells: pd.DataFrame, title: str) -> None:
    """Draw one matrix: a row for each true class, a column for each called class."""
    names = list(dict.fromkeys(cells["reference"]))
    counts, shares = (cells[column].to_numpy(dtype=float).reshape(len(names), len(names)) for column in ("n", "share"))
    axes.pcolormesh(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=1.15)
    for (row, column), count in np.ndenumerate(counts):
        colour = PALE if shares[row, column] > DARK_FROM else CONFUSION_INK
        axes.text(column + 0.5, row + 0.5, f"{count:.0f}", ha="center", va="center", color=colour, fontsize=10)
    wrapped = ["\n".join(textwrap.wrap(name, LONGEST_NAME)) for name in names]
    places = np.arange(len(names)) + 0.5
    axes.set_xticks(places, wrapped, fontsize=8)
    axes.set_yticks(places, wrapped, fontsize=8)
    axes.set(xlabel="called", ylabel="is")
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.tick_params(length=0)
    n = "\n".join([*textwrap.wrap(title, LONGEST_LINE), f"n = {counts.sum():.0f}"])
    axes.set_title(n, fontsize=9, fontweight="normal")
