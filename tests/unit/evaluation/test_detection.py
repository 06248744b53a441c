"""Tables of detection against a run counted by hand (`made_up_detections`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_detections import made_up_run
from matplotlib.figure import Figure

from mammoflow.evaluation import detection_figures
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.detection import DETECTION_COLUMNS, detection_table, froc_table
from mammoflow.evaluation.detection_figures import draw_froc
from mammoflow.evaluation.drawing import drawing
from mammoflow.evaluation.proportions import proportion, wilson_interval

BOOTSTRAP = PatientBootstrap(resamples=100, confidence=0.95, seed=1)


@pytest.fixture(scope="module")
def row() -> pd.Series:
    table = detection_table(made_up_run(), BOOTSTRAP)
    assert table["split"].tolist() == ["test", "all"]
    return table.iloc[0]


def test_counts(row: pd.Series) -> None:
    expected = {
        "images": 5,
        "images_with_lesions": 2,
        "images_without_lesions": 3,
        "images_not_fully_annotated": 1,
        "patients": 3,
        "patients_seen": 1,
        "lesions": 3,
        "hits": 2,
        "missed": 1,
        "false_positives": 3,
        "further_components": 1,
        "images_both_empty": 1,
        "images_with_dice": 2,
        "images_with_distances": 1,
    }
    assert row[[*expected]].to_dict() == expected


def test_scores_of_images_are_means_over_those_with_a_lesion_where_they_are_defined(row: pd.Series) -> None:
    assert row["iou_images_with_lesions"] == pytest.approx((0.6 / 1.4 + 0) / 2)
    assert row["precision_images_with_lesions"] == pytest.approx(0.5)
    assert row["recall_images_with_lesions"] == pytest.approx(0.25)
    assert row["pixel_accuracy_images_with_lesions"] == pytest.approx(0.99)
    # Nothing of image C is marked in the right place; made up, its distances are not defined.
    assert row["hd95_mm_images_with_lesions"] == pytest.approx(4.0)
    assert row["surface_distance_mm_images_with_lesions"] == pytest.approx(2.0)


@pytest.mark.parametrize(("column", "value"), [("fully_annotated", False), ("dice", None)])
def test_the_number_of_images_with_dice_is_that_of_their_mean(column: str, value: object) -> None:
    run = made_up_run()
    maps = run.maps.copy()
    maps.loc[maps["image_id"] == "C", column] = value
    row = detection_table(replace(run, maps=maps), BOOTSTRAP).iloc[0]
    assert (row["images_with_lesions"], row["images_with_dice"]) == (2, 1)
    assert row["dice_images_with_lesions"] == pytest.approx(0.6)


def test_false_positives_per_image_leave_out_the_image_with_a_lost_lesion(row: pd.Series) -> None:
    assert row["false_positives_per_image"] == pytest.approx(3 / 4)
    assert row["false_positives_with_lesions"] == pytest.approx(2 / 2)
    assert row["false_positives_without_lesions"] == pytest.approx(1 / 2)


def test_sensitivity(row: pd.Series) -> None:
    assert row["sensitivity"] == pytest.approx(2 / 3)
    assert row["sensitivity_at_0.25"] == pytest.approx(1 / 3)
    assert row["sensitivity_at_0.5"] == pytest.approx(2 / 3)
    assert row["sensitivity_at_4"] == pytest.approx(2 / 3)


def test_dice_counts_misses_as_0_and_empty_against_empty_as_1(row: pd.Series) -> None:
    assert row["dice_hits"] == pytest.approx((0.8 + 0.5) / 2)
    assert row["dice_lesions"] == pytest.approx((0.8 + 0.5 + 0.0) / 3)
    assert row["dice_images"] == pytest.approx((0.6 + 0.0 + 0.0 + 1.0) / 4)
    assert row["dice_images_with_lesions"] == pytest.approx((0.6 + 0.0) / 2)


def test_intervals_come_from_whole_patients(row: pd.Series) -> None:
    # P1 has two lesions, both hit, P2 one that is missed: less is known than of three patients.
    hits = proportion([np.array([1.0, 1, 0])], [np.ones(3)], ["P1", "P1", "P2"])
    assert (row["sensitivity_low"], row["sensitivity_high"]) == pytest.approx(hits.interval(0.95))
    assert row["sensitivity_low"] < wilson_interval(2 / 3, 3, 0.95)[0]
    weights = BOOTSTRAP.weights(["P1", "P2", "P3"])[1:]
    lesions, dice = weights @ [2, 1, 0], weights @ [1.3, 0, 0]
    bounds = np.quantile(dice[lesions > 0] / lesions[lesions > 0], [0.025, 0.975])
    assert (row["dice_lesions_low"], row["dice_lesions_high"]) == pytest.approx(tuple(bounds))


def test_curve(row: pd.Series) -> None:
    curve = froc_table(made_up_run())
    points = curve[curve["split"] == "test"]
    assert points["score"].tolist() == [0.9, 0.8, 0.7, 0.6, 0.5]
    assert points["false_positives_per_image"].tolist() == [0, 0.25, 0.5, 0.5, 0.75]
    assert points["sensitivity"].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert set(points["images"]) == {4}


def test_splits_are_kept_apart() -> None:
    table = detection_table(made_up_run("train"), BOOTSTRAP)
    assert table["split"].tolist() == ["all"]


def test_a_run_without_automatic_models_has_empty_tables() -> None:
    run = made_up_run()
    none = replace(run, detections=run.detections[:0], maps=run.maps[:0], scores=run.scores[:0])
    assert list(detection_table(none, BOOTSTRAP).columns) == list(DETECTION_COLUMNS)
    assert len(detection_table(none, BOOTSTRAP)) == len(froc_table(none)) == 0


def test_a_model_that_finds_nothing_has_a_row() -> None:
    run = made_up_run()
    blind = replace(run, detections=run.detections[:0], maps=run.maps.assign(components=0))
    row = detection_table(blind, BOOTSTRAP).iloc[0]
    assert (row["hits"], row["missed"], row["sensitivity_at_1"]) == (0, 3, 0.0)
    assert np.isnan(row["dice_hits"])


def test_lesions_and_images_without_a_label_take_no_part() -> None:
    run = made_up_run()
    unknown = run.lesions.assign(malignant=run.lesions["lesion_id"].map({"L1": 1, "L2": None, "L3": 0}).astype("Int64"))
    images = pd.DataFrame({"image_id": [*"ABCDE"], "labelled": [True, False, True, True, True]})
    row = detection_table(replace(run, lesions=unknown, images=images), BOOTSTRAP).iloc[0]
    assert (row["lesions"], row["hits"], row["missed"]) == (2, 1, 1)
    # Image B with its false positive is gone; the component on L2 is no false positive.
    assert (row["images"], row["false_positives"]) == (4, 2)


def test_without_any_label_every_image_with_a_lesion_takes_part() -> None:
    run = made_up_run()
    lesions = run.lesions.assign(malignant=pd.array([None] * 3, dtype="Int64"), image_id=[*"AAC"])
    # B and D are known to be normal; nothing is known of the lesions of E.
    images = pd.DataFrame({"image_id": [*"ABCDE"], "labelled": [False, True, False, True, False]})
    unlabelled = replace(run, lesions=lesions, images=images)
    row = detection_table(unlabelled, BOOTSTRAP).iloc[0]
    assert (row["images"], row["images_with_lesions"], row["images_without_lesions"]) == (4, 2, 2)
    assert (row["lesions"], row["hits"], row["missed"], row["false_positives"]) == (3, 2, 1, 3)
    assert row["dice_images_with_lesions"] == pytest.approx((0.6 + 0.0) / 2)
    assert froc_table(unlabelled)["sensitivity"].max() == pytest.approx(2 / 3)


@pytest.mark.parametrize("found", [True, False])
def test_figure_is_drawn_with_and_without_a_curve(tmp_path: Path, found: bool) -> None:
    run = made_up_run() if found else made_up_run("train")
    draw_froc(tmp_path / "froc.png", froc_table(run), detection_table(run, BOOTSTRAP), phantom=True)
    assert (tmp_path / "froc.png").stat().st_size > 5000


def test_the_legend_of_many_models_covers_no_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []

    @contextmanager
    def kept(path: Path, height: float) -> Iterator[Figure]:
        with drawing(path, height) as figure:
            figures.append(figure)
            yield figure

    monkeypatch.setattr(detection_figures, "drawing", kept)
    run = made_up_run()
    curves, table = froc_table(run), detection_table(run, BOOTSTRAP)
    names = [f"model {number}" for number in range(8)]
    many = [pd.concat([each.assign(model=name) for name in names]) for each in (curves, table)]
    draw_froc(tmp_path / "froc.png", *many, phantom=True)
    (figure,) = figures
    plot, legend = figure.axes[0].get_window_extent(), figure.legends[0].get_window_extent()
    assert len(figure.legends[0].get_texts()) == 8
    assert legend.y1 <= plot.y0
    assert plot.height > 0.5 * figure.bbox.height
