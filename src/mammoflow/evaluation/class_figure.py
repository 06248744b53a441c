"""The confusion matrices of the classifiers of several classes, one for each classifier."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from mammoflow.evaluation.candidates import display_name
from mammoflow.evaluation.class_scores import LARGEST_CLASS
from mammoflow.evaluation.drawing import STYLE, WIDTH_INCHES, drawing, put_title, wrapped, write_data
from mammoflow.evaluation.figures import CONFUSION_INK, PALE

ABREAST = 2
LONGEST_LINE = 32
LONGEST_NAME = 14
NAME_SIZE = 8
"""Of the names of the classes, in points."""

NAME_LINE_INCHES, GAP_INCHES = 0.14, 0.05
CELL_INCHES = (0.5, 0.4)
"""Least width of a cell under turned names, and height of a cell."""

HEADING_LINE_INCHES = 0.16
BESIDE_INCHES, AROUND_INCHES = 0.35, 0.7
"""Room beside a matrix and above and below it, without the names of the classes and of the classifier."""

DARK_FROM = 0.6
"""Share from which a cell is so dark that its number is written in a pale colour."""


@dataclass(frozen=True)
class _Layout:
    """Names of classes in lines, matrices abreast, whether the names below them are turned, and sizes in inches."""

    names: list[str]
    abreast: int
    turned: bool
    width: float
    matrix_height: float

    @classmethod
    def of(cls, classes: Sequence[str], matrices: int) -> _Layout:
        """Choose what keeps neighbouring names apart: one matrix a row, then turned names on a wider figure."""
        names = ["\n".join(textwrap.wrap(name, LONGEST_NAME, break_long_words=False)) for name in classes]
        font = FontProperties(family=str(STYLE["font.family"]))
        lines = [line for name in names for line in name.splitlines()]
        longest = max(TextPath((0, 0), line, NAME_SIZE, prop=font).get_extents().width for line in lines) / 72
        most_lines = max(name.count("\n") + 1 for name in names)
        matrix = BESIDE_INCHES + longest + len(names) * (longest + GAP_INCHES)
        turned = matrix > WIDTH_INCHES
        if turned:
            cell = max(CELL_INCHES[0], NAME_LINE_INCHES * most_lines + GAP_INCHES)
            matrix = BESIDE_INCHES + longest + len(names) * cell
        below = longest if turned else NAME_LINE_INCHES * most_lines
        height = AROUND_INCHES + below + CELL_INCHES[1] * len(names)
        abreast = ABREAST if matrices > 1 and ABREAST * matrix <= WIDTH_INCHES else 1
        return cls(names, abreast, turned, max(WIDTH_INCHES, abreast * matrix), height)


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
    layout = _Layout.of(list(dict.fromkeys(shown["reference"])), len(models))
    headings = [wrapped(display_name(model, titles), LONGEST_LINE) for model in models]
    rows = -(-len(models) // layout.abreast)
    height = layout.matrix_height + HEADING_LINE_INCHES * (2 + max(heading.count("\n") for heading in headings))
    with drawing(path, 0.5 + rows * height, layout.width) as figure:
        grid = figure.subplots(rows, layout.abreast, squeeze=False).ravel()
        put_title(figure, "Confusion matrices of the classes on the test split", phantom)
        for axes in grid[len(models) :]:
            axes.set_axis_off()
        for axes, model, heading in zip(grid, models, headings, strict=False):
            _draw_matrix(axes, shown[shown["model"] == model], heading, layout)


def _draw_matrix(axes: Axes, cells: pd.DataFrame, heading: str, layout: _Layout) -> None:
    """Draw one matrix: a row for each true class, a column for each called class."""
    names = layout.names
    counts, shares = (cells[column].to_numpy(dtype=float).reshape(len(names), len(names)) for column in ("n", "share"))
    axes.pcolormesh(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=1.15)
    for (row, column), count in np.ndenumerate(counts):
        colour = PALE if shares[row, column] > DARK_FROM else CONFUSION_INK
        axes.text(column + 0.5, row + 0.5, f"{count:.0f}", ha="center", va="center", color=colour, fontsize=10)
    places = np.arange(len(names)) + 0.5
    axes.set_xticks(places, names, fontsize=NAME_SIZE, rotation=90 if layout.turned else 0)
    axes.set_yticks(places, names, fontsize=NAME_SIZE)
    axes.set(xlabel="called", ylabel="is")
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_title(f"{heading}\nn = {counts.sum():.0f}", fontsize=9, fontweight="normal")
