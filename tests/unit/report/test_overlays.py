from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from mammoflow.report.overlays import choose_lesions, outline
from mammoflow.report.page import compact, interval, interval_plot, number, signed


def polygon_area(path: str) -> float:
    total = 0.0
    for ring in re.findall(r"M(.*?)Z", path):
        points = np.array(ring.split(), dtype=float).reshape(-1, 2)
        x, y = points[:, 0], points[:, 1]
        total += 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    return abs(total)


def test_outline_goes_round_the_pixels() -> None:
    mask = np.zeros((30, 40), dtype=bool)
    mask[5:25, 10:32] = True
    path = outline(mask)
    points = np.array(re.findall(r"-?[\d.]+", path), dtype=float).reshape(-1, 2)
    assert points.min(axis=0).tolist() == [10, 5]
    assert points.max(axis=0).tolist() == [32, 25]
    # The contour cuts half a pixel off at each of the four corners' two neighbours.
    assert polygon_area(path) == pytest.approx(20 * 22, abs=1)


def test_outline_of_a_mask_at_the_border_is_closed_and_a_hole_is_a_second_ring() -> None:
    mask = np.ones((12, 12), dtype=bool)
    assert outline(mask).count("Z") == 1
    mask[4:8, 4:8] = False
    assert outline(mask).count("Z") == 2
    assert outline(np.zeros((5, 5), dtype=bool)) == ""


def test_best_middle_and_worst_are_shown() -> None:
    dice = pd.Series(np.linspace(0, 1, 21), index=[f"L{place:02d}" for place in range(21)])
    chosen = choose_lesions(dice, 6)
    assert chosen == [
        ("best", "L20"),
        ("best", "L19"),
        ("median", "L11"),
        ("median", "L10"),
        ("worst", "L01"),
        ("worst", "L00"),
    ]


@pytest.mark.parametrize("lesions", range(9))
@pytest.mark.parametrize("count", [1, 3, 6, 7])
def test_no_lesion_is_shown_twice(lesions: int, count: int) -> None:
    dice = pd.Series(np.linspace(1, 0, lesions), index=[f"L{place}" for place in range(lesions)], dtype=float)
    chosen = [lesion for _, lesion in choose_lesions(dice, count)]
    assert len(chosen) == len(set(chosen)) == min(lesions, count)


def test_numbers_are_written_with_what_is_not_defined_named() -> None:
    assert number(0.8304) == "0.830"
    assert number(None) == "n/a"
    assert signed(-0.02) == "−0.020"
    assert compact(-12345.6, 3) == "−1.23e+04"
    row = {"auc": 0.8, "auc_low": 0.7, "auc_high": 0.9, "f1": 0.5, "f1_low": None, "f1_high": None, "recall": None}
    assert interval(row, "auc") == "0.70–0.90"
    assert interval(row, "f1") == "no interval"
    assert interval(row, "recall") == ""
    assert interval({"d": 0.0, "d_low": -0.1, "d_high": 0.1}, "d") == "−0.10 to 0.10"


def test_small_plot_places_values_on_its_scale() -> None:
    row = {"auc": 0.5, "auc_low": 0.0, "auc_high": 1.4}
    plot = str(interval_plot(row, "auc", 0.0, 1.0, [None, 0.25]))
    assert 'cx="66.0"' in plot
    assert 'class="range" x1="4.0" x2="128.0"' in plot
    assert plot.count("mark-") == 1
    assert 'x1="35.0"' in plot
