from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammoflow.evaluation.segmentation_diameter import case_numbers
from mammoflow.report.overlays import by_model, choose_lesions, overlays
from mammoflow.report.page import compact, interval, interval_plot, number, signed
from mammoflow.report.pictures import PictureTables, outline
from mammoflow.tables.files import read_table, read_tables, write_table
from mammoflow.tables.images import CANONICAL_LESIONS
from mammoflow.tables.masks import MASKS, SEGMENTATION_SCORES


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


def corners(path: str) -> np.ndarray:
    """Return the least and greatest (x, y) of a box or an outline."""
    move = re.findall(r"M(-?[\d.]+) (-?[\d.]+)H(-?[\d.]+)V(-?[\d.]+)", path)
    points = np.array(move[0] if move else re.findall(r"-?[\d.]+", path), dtype=float).reshape(-1, 2)
    return np.array([points.min(axis=0), points.max(axis=0)])


def test_pictures_are_the_best_middle_and_worst_of_each_model_in_turn(run: Any) -> None:
    pictures = overlays(PictureTables.read(run.images, run.segmentation), 6)
    assert [picture.model for picture in pictures] == ["small"] * 6 + ["sam2.1_hiera_tiny"] * 6
    assert [picture.rank for picture in pictures] == ["best", "best", "median", "median", "worst", "worst"] * 2
    lesions = read_tables([folder / "lesions.parquet" for folder in run.images], CANONICAL_LESIONS)
    numbers = case_numbers(pd.Index(lesions["lesion_id"]))
    test = lesions.loc[lesions["split"] == "test", "lesion_id"]
    scores = read_tables([folder / "scores.parquet" for folder in run.segmentation], SEGMENTATION_SCORES)
    for model, ranks in by_model(pictures):
        of_model = (scores["model"] == model) & scores["chosen"] & (scores["margin_mm"] == 10)
        dice = scores[of_model].set_index("lesion_id")["dice"].loc[test]
        found = dict(ranks)
        assert found["best"][0].dice == dice.max()
        assert found["best"][0].case == numbers[dice.idxmax()]
        assert found["worst"][-1].dice == dice.min()
        assert found["worst"][-1].case == numbers[dice.idxmin()]


def test_box_of_the_prompt_stands_round_the_reference(run: Any) -> None:
    for picture in overlays(PictureTables.read(run.images, run.masks), 6):
        box, reference = corners(picture.box), corners(picture.reference)
        # A margin of 10 mm at 1 mm a pixel; the reference is made of whole pixels.
        assert np.abs(np.abs(box - reference) - 10).max() <= 1
        assert box.min() >= 0
        assert (box[1] <= [picture.width, picture.height]).all()
        assert (picture.prompted, picture.points, picture.mark) == ("box +10 mm", [], "")


def test_points_on_and_beside_the_lesion_and_the_mark_of_an_oracle(run_with_points: Any) -> None:
    pictures = overlays(PictureTables.read(run_with_points.images, run_with_points.segmentation), 3)
    assert [picture.mark for picture in pictures] == [""] * 3 + ["oracle"] * 3
    for picture in pictures[3:]:
        assert (picture.prompted, picture.box) == ("point", "")
        (x, y, on_lesion), (beside_x, beside_y, beside) = picture.points
        assert (on_lesion, beside) == (True, False)
        assert (beside_x, beside_y) == pytest.approx((x + 40, y))
        low, high = corners(picture.reference)
        assert [x, y] == pytest.approx((low + high) / 2, abs=1)
        # All of the prompt is in the picture.
        assert 0 <= x < beside_x <= picture.width


def test_a_box_beside_the_lesion_is_in_the_picture(write_run: Callable[..., Any], tmp_path: Path) -> None:
    run = write_run(tmp_path, patients=6)
    folder = run.masks[0]
    masks = read_table(folder / "masks.parquet", MASKS)
    scores = read_table(folder / "scores.parquet", SEGMENTATION_SCORES)
    far = {"prompt_y0": 2.0, "prompt_x0": 4.0, "prompt_y1": 9.0, "prompt_x1": 12.0}
    write_table(masks.assign(**far), MASKS, folder / "masks.parquet")
    write_table(scores.assign(origin="reader:A"), SEGMENTATION_SCORES, folder / "scores.parquet")
    pictures = overlays(PictureTables.read(run.images[:1], run.masks[:1]), 3)
    assert pictures
    for picture in pictures:
        box, reference = corners(picture.box), corners(picture.reference)
        assert (box[1] - box[0]).tolist() == [8, 7]
        both = np.vstack([box, reference])
        assert both.min() >= 0
        assert (both.max(axis=0) <= [picture.width, picture.height]).all()
        assert picture.prompted == "box +10 mm of reader A"


def test_without_reference_masks_the_box_of_the_lesion_is_shown(write_run: Callable[..., Any], tmp_path: Path) -> None:
    run = write_run(tmp_path, patients=6, with_masks=False)
    pictures = overlays(PictureTables.read(run.images, run.segmentation), 2)
    assert [picture.model for picture in pictures] == ["small"] * 2 + ["sam2.1_hiera_tiny"] * 2
    for picture in pictures:
        assert picture.rank == ""
        assert np.isnan(picture.dice)
        assert corners(picture.reference) - corners(picture.box) == pytest.approx(np.array([[10, 10], [-10, -10]]))
        assert picture.predicted
    assert by_model(pictures)[0][1] == [("", pictures[:2])]


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
