"""What all figures share: lines that can be told apart, and legends that fit."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mammoflow.evaluation import curves
from mammoflow.evaluation.candidates import READER
from mammoflow.evaluation.drawing import COLOURS, dashes, drawing, put_legend

SHORT, LONG = "resnet", "EfficientNet-Lite0, 38 mm around the lesion (oracle)"


def test_no_two_of_32_lines_look_alike() -> None:
    assert len({(COLOURS[place % len(COLOURS)], dashes(place)) for place in range(32)}) == 32


@pytest.mark.parametrize(("name", "columns"), [(SHORT, 2), (LONG, 1)])
def test_a_legend_has_as_many_columns_as_fit(tmp_path: Path, name: str, columns: int) -> None:
    with drawing(tmp_path / "figure.png", 5.0) as figure:
        axes = figure.subplots()
        for place in range(6):
            axes.plot([0, 1], [0, place], label=f"{name} {place}")
        put_legend(figure, axes)
    (legend,) = figure.legends
    assert len({round(text.get_window_extent().x0) for text in legend.get_texts()}) == columns
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    # the plot keeps its height
    assert axes.get_position().height * figure.get_figheight() > 3.5


def test_names_of_near_operating_points_do_not_cover_each_other() -> None:
    label = np.repeat([0.0, 1.0], 100)
    # few lesions between the lowest cuts, so that their points are near
    score = np.concatenate(
        [np.repeat([0, 1, 2, 3, 4], [15, 10, 15, 30, 30]), np.repeat([1, 2, 3, 4, 5], [1, 1, 2, 46, 50])]
    )
    reader = curves.Curve("BI-RADS > 3", "BI-RADS > 3", READER, label, [score.astype(np.float64)], 4.0, "")
    figure = Figure(figsize=(5.6, 6.6), layout="constrained")
    axes: Axes = figure.subplots()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    curves._draw_cuts(axes, reader)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 5
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other)
