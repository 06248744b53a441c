"""What all figures share: lines that can be told apart, and names and legends that fit."""

from __future__ import annotations

import warnings
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mammoflow.evaluation import curves
from mammoflow.evaluation.candidates import CLASSIFIER, FLOOR, FUSION, READER
from mammoflow.evaluation.drawing import COLOURS, dashes, drawing, put_legend, wrapped
from mammoflow.evaluation.few_labels_figure import draw_few_labels
from mammoflow.evaluation.figures import draw_auc
from mammoflow.evaluation.flow_figure import draw_flow
from mammoflow.evaluation.segmentation_figures import (
    draw_dice_against_diameter,
    draw_dice_against_margin,
    draw_dice_by_iteration,
)
from mammoflow.evaluation.segmentation_summary import ORACLE
from mammoflow.evaluation.segmentation_tables import CHOSEN
from mammoflow.evaluation.stability_figure import draw_stability
from mammoflow.tables.stability import ALL

HUNDRED = "EfficientNet-B0 of our hospital for whole images, trained on two data sets of 2024, version 1.2.3 RC"
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


@pytest.mark.parametrize("letter", ["", "W"])
def test_a_legend_breaks_a_name_that_is_wider_than_the_figure(drawn: list[Figure], tmp_path: Path, letter: str) -> None:
    with drawing(tmp_path / "figure.png", 5.0) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], label=100 * letter or HUNDRED)
        axes.plot([0, 1], [1, 0], label=SHORT)
        put_legend(figure, axes)
    (legend,) = drawn[0].legends
    assert legend.get_window_extent().width <= figure.bbox.width
    assert "".join(text.get_text() for text in legend.get_texts()).count("\n") >= 1
    assert axes.get_position().height * figure.get_figheight() > 3.5


def test_lines_break_at_blanks_and_underscores() -> None:
    assert wrapped("sam_vit_b_lora: n = 3", 10) == "sam_vit_\nb_lora: n\n= 3"
    assert wrapped("U-Net n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}3", 8) == "U-Net\nn = 3"
    assert wrapped("one\ntwo", 10) == "one\ntwo"


def test_a_name_of_100_letters_leaves_room_for_the_aucs(drawn: list[Figure], tmp_path: Path) -> None:
    assert len(HUNDRED) == 100
    row = {"n": 378, "n_malignant": 100, "patients": 200, "auc_low": 0.0, "auc_high": 1.0, "note": ""}
    families = {"BI-RADS": READER, HUNDRED: CLASSIFIER, f"{HUNDRED} + BI-RADS": FUSION, "age": FLOOR}
    rows = [{"model": name, "family": family, "auc": 0.5, **row} for name, family in families.items()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_auc(tmp_path / "auc.png", pd.DataFrame(rows), False, {})
    (axes,) = drawn[0].axes
    assert axes.get_position().width > 0.35
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert min(box.x0 for box in boxes) >= 0
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert axes.get_yticklabels()[2].get_text().split() == [*HUNDRED.split(), "(n", "=", "378)"]


def test_titles_of_panels_have_the_whole_name(drawn: list[Figure], tmp_path: Path) -> None:
    label, scores = np.array([0.0, 1.0]), [np.array([0.2, 0.7])]
    names = [
        "EfficientNet-B0 whole image (3 seeds)",
        "EfficientNet-B0 whole image radiomics (3 seeds) (oracle)",
        HUNDRED,
    ]
    shown = [curves.Curve(name, name, CLASSIFIER, label, scores, 0.5, "") for name in names]
    areas = pd.DataFrame({"model": names, "auc": 0.7, "auc_low": 0.6, "auc_high": 0.8})
    curves.draw_roc_panels(tmp_path / "roc_panels.png", shown, areas, False)
    titles = [axes._left_title for axes in drawn[0].axes]  # type: ignore[attr-defined]
    assert [" ".join(title.get_text().split()) for title in titles] == [
        f"{name} AUC 0.70 (0.60 to 0.80), n = 2" for name in names
    ]
    boxes = [title.get_window_extent() for title in titles]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert max(box.x1 for box in boxes) <= drawn[0].bbox.width


def test_the_flow_shows_every_branch_of_a_step(drawn: list[Figure], tmp_path: Path) -> None:
    counts = {"lesions": 980, "images": 900, "patients": 290, "excluded": []}
    names = [f"Segmented by lora_tuned_model_number_{number:02d}" for number in range(20)]
    steps = [{"step": "Usable lesions", "branch": False, **counts}]
    steps += [{"step": name, "branch": True, **counts} for name in names]
    draw_flow(tmp_path / "flow.png", steps, False)
    shown = " ".join(text.get_text() for text in drawn[0].axes[0].texts)
    assert [name for name in names if name not in shown] == []
    assert min(text.get_window_extent().y0 for text in drawn[0].axes[0].texts) > 0


def dice_rows(models: list[str]) -> pd.DataFrame:
    """Return made-up rows of the table of Dice for each model, margin and iteration."""
    shared = {"split": "test", "field_of_view": "image", "prompts": "box", "feed": "logits", "mark": ORACLE, "note": ""}
    shared |= {"n": 378, "patients": 201, "dice": 0.1, "dice_low": 0.0, "dice_high": 0.2, "missed": 3}
    rows = [
        {"model": model, "margin_mm": margin, "selection": selection, **shared}
        for model in models
        for margin in (0.0, 5.0, 20.0)
        for selection in (CHOSEN, "iteration 1", "iteration 2")
    ]
    return pd.DataFrame(rows)


def check_panels(figure: Figure) -> None:
    """Check that titles of panels keep apart and inside the figure, and that legends are outside the panels."""
    titles = [text.get_window_extent() for axes in figure.axes for text in (axes._left_title,) if text.get_text()]  # type: ignore[attr-defined]
    assert not any(one.overlaps(other) for one, other in combinations(titles, 2))
    assert all(box.x1 <= figure.bbox.width for box in titles)
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    assert legends
    for legend, axes in product(legends, figure.axes):
        box = legend.get_window_extent()  # type: ignore[union-attr]
        assert not box.overlaps(axes.get_window_extent())
        assert box.x1 <= figure.bbox.width
    assert min(axes.get_position().height for axes in figure.axes) * figure.get_figheight() > 1.5


LONG_MODELS = [f"medsam_vit_b_lora_tuned_on_our_hospital_{number}" for number in range(5)]


def test_titles_and_legends_of_segmentation_figures_cover_nothing(drawn: list[Figure], tmp_path: Path) -> None:
    table = dice_rows(LONG_MODELS)
    draw_dice_against_margin(tmp_path / "margin.png", table, False)
    draw_dice_by_iteration(tmp_path / "iteration.png", table, False)
    lesions = {
        "split": "test",
        "mark": ORACLE,
        "prompts": "box",
        "margin_mm": 5.0,
        "note": "",
        "malignant": [0, 1, None],
    }
    lesions |= {"case": [1, 2, 3], "diameter_mm": [5.0, 60.0, 30.0], "dice": [0.1, 0.0, 1.0]}
    diameters = pd.concat([pd.DataFrame({"model": model, **lesions}) for model in LONG_MODELS[:2]])
    correlation = pd.DataFrame({"split": "test", "model": LONG_MODELS, "r": 0.3, "rho": 0.3})
    draw_dice_against_diameter(tmp_path / "diameter.png", diameters, correlation, False)
    for figure in drawn:
        check_panels(figure)


def test_the_legend_of_few_labels_covers_no_curve(drawn: list[Figure], tmp_path: Path) -> None:
    rows = [
        {"figure": figure, "network": "unet", "method": method, "labels": labels, "supplementary": "lesion_diffusion",
         "label_fraction": share, "value": share, "value_low": 0.0, "value_high": 1.0, "n": 100, "patients": 50}
        for figure in ("dice", "auc")
        for method in ("supervised", "mean_teacher", "fixmatch", "pseudo_labels")
        for labels in ("masks", "boxes", "points")
        for share in (0.1, 1.0)
    ]  # fmt: skip
    draw_few_labels(tmp_path / "few_labels.png", pd.DataFrame(rows), False)
    check_panels(drawn[0])
    assert len(drawn[0].legends[0].get_texts()) == 12


def test_a_family_with_one_feature_is_a_point_of_the_stability(drawn: list[Figure], tmp_path: Path) -> None:
    shared = {"perturbation": ALL, "n": 30, "icc": 0.8, "icc_low": 0.7}
    rows = [
        {"family": family, "feature": feature, **shared}
        for family, feature in (("one", "a"), ("two", "a"), ("two", "b"))
    ]
    draw_stability(tmp_path / "stability.png", pd.DataFrame(rows), False)
    markers = [[line.get_marker() for line in axes.get_lines() if line.get_label() == ALL] for axes in drawn[0].axes]
    assert markers == [["o"], [""]]


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
