"""Trained parameters beside the Dice of each kind of models, against values by hand; and the figure of them."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up_detections import LESION_DICE, PATIENT, made_up_run
from made_up_scores import lesions_of, masks, one

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.detection import detection_table
from mammoflow.evaluation.name_places import GAP, name_places
from mammoflow.evaluation.parameters_figure import draw_parameters
from mammoflow.evaluation.pooling import Fold, pooled_run
from mammoflow.evaluation.segmentation_diameter import dice_by_diameter
from mammoflow.evaluation.segmentation_parameters import PARAMETER_COLUMNS, parameters_table
from mammoflow.evaluation.segmentation_tables import KEYS, segmentation_table

BOOTSTRAP = PatientBootstrap(200, 0.95, 2)


def record(parameters: int, **facts: Any) -> dict[str, Any]:
    effort: dict[str, Any] = {
        "seconds": 90.0,
        "peak_memory_bytes": 3 * 2**20,
        "epochs": 3,
        "images": 10,
        "device": "cpu",
    }
    return {"trainable_parameters": parameters, "total_parameters": 1000} | effort | facts


def table_of(trained: dict[str, Any]) -> pd.DataFrame:
    """Return the table of a run of an automatic model and of promptable ones with two margins, or with points."""
    point: dict[str, Any] = {"kind": "point", "margin_mm": np.nan}
    scores = pd.concat(
        [
            masks({"P1a": 0.2, "P2a": 0.4}, model="base"),
            masks({"P1a": 0.9, "P2a": 0.9}, model="base", margin_mm=5.0),
            masks({"P1a": 0.5, "P2a": 0.7}, model="tuned"),
            masks({"P1a": 0.9, "P2a": 0.9}, model="tuned", margin_mm=5.0),
            masks({"P1a": 0.6, "P2a": 0.0}, model="further", seen=True, **point),
            masks({"P1a": 0.6, "P2a": 0.6}, model="elsewhere"),
            # of an automatic model none of whose images is fully annotated
            masks({"P1a": 0.6, "P2a": 0.6}, model="unmapped", kind="none", origin="automatic", margin_mm=np.nan),
        ]
    )
    handed_on = scores[scores["margin_mm"] != 5]
    lesions = lesions_of(scores)
    run = replace(made_up_run(), weights={"base": {"training": {"total_parameters": 900}}})
    given = (segmentation_table(scores, lesions, BOOTSTRAP), detection_table(run, BOOTSTRAP))
    return parameters_table(trained, run, *given, dice_by_diameter(scores, handed_on, lesions))


def test_each_kind_has_its_own_dice_beside_what_was_trained() -> None:
    # further training of a tuned model, and an encoder without labels that never segments
    trained = {"further": record(30, **{"from": "tuned"}), "tuned": record(40, **{"from": "base"})}
    table = table_of(
        {**trained, "unet": record(1000, **{"from": "encoder"}), "encoder": record(500), "unmapped": record(9)}
    )
    assert table.columns.tolist() == [*PARAMETER_COLUMNS]
    assert table["model"].tolist() == ["unet", "base", "further", "tuned"]
    assert table["kind"].tolist() == ["automatic", *["promptable"] * 3]
    unet, base, tuned, further = (one(table, model=name) for name in ("unet", "base", "tuned", "further"))
    # images A and C have a lesion; the model was trained on the patient of C
    assert unet["dice"] == pytest.approx((0.6 + 0.0) / 2)
    assert (unet["dice_low"], unet["dice_high"]) == (pytest.approx(0.0), pytest.approx(0.6))
    assert unet[["n", "patients", "patients_seen", "prompts"]].tolist() == [2, 2, 1, "none"]
    assert unet["dice_of"] == "images with a lesion, no prompt"
    assert (base["trainable_parameters"], base["total_parameters"], base["started_from"]) == (0, 900, "")
    assert np.isnan(base["training_seconds"])
    # of the margin whose masks later stages use
    assert (base["dice"], base["margin_mm"]) == (pytest.approx(0.3), 10)
    assert (base["dice_low"], base["dice_high"]) == (pytest.approx(0.2), pytest.approx(0.4))  # one patient drawn twice
    assert (tuned["dice"], tuned["margin_mm"]) == (pytest.approx(0.6), 10)
    assert (tuned["trainable_parameters"], tuned["started_from"], tuned["patients_seen"]) == (40, "base", 0)
    assert (tuned["training_seconds"], tuned["training_peak_mb"], tuned["seconds_per_image"]) == (90, 3, 3)
    assert tuned["dice_of"] == "lesions, one prompt for each"
    # its only prompts are points; the missed lesion counts 0
    assert further[["prompts", "n", "patients_seen", "started_from"]].tolist() == ["point", 2, 2, "tuned"]
    assert further["dice"] == pytest.approx(0.3)


@pytest.mark.parametrize("trained", [{}, {"encoder": record(500, **{"from": "base"})}], ids=["nothing", "no masks"])
def test_without_a_trained_model_that_segments_there_is_no_row(trained: dict[str, Any]) -> None:
    table = table_of(trained)
    assert table.empty
    assert table.columns.tolist() == [*PARAMETER_COLUMNS]


def test_folds_are_pooled_with_the_parameters_of_the_first() -> None:
    whole = made_up_run()
    folds = []
    for number, held_out in enumerate((["P1"], ["P2", "P3"])):
        sides = {patient: "test" if patient in held_out else "train" for patient in PATIENT.values()}
        maps = whole.maps.assign(split=whole.maps["patient_id"].map(sides))
        lesions = pd.DataFrame({"lesion_id": [*LESION_DICE], "malignant": 1})
        lesions["patient_id"] = [PATIENT[image] for image, _ in LESION_DICE.values()]
        run = replace(
            whole,
            segmenters={"unet": record(1000 + number, seconds=60.0 * (number + 1))},
            maps=maps.assign(dice=maps["dice"].mask(maps["image_id"] == "C", 0.1 + 0.3 * number)),
            lesions=lesions.assign(split=lesions["patient_id"].map(sides)),
            images=maps[["image_id", "split"]],
        )
        folds.append(Fold(number, Path(), run, lesions, []))
    run = pooled_run(whole, folds)
    none = pd.DataFrame(columns=["split", "selection", "model", *KEYS[1:]])
    table = parameters_table(folds[0].run.segmenters, run, none, detection_table(run, BOOTSTRAP), none)
    row = one(table, model="unet")
    # A is held out by the first fold, C by the second
    assert (row["dice"], row["n"], row["patients"]) == (pytest.approx((0.6 + 0.4) / 2), 2, 2)
    assert (row["trainable_parameters"], row["training_seconds"]) == (1000, 60)


def test_a_name_is_beside_its_point_where_there_is_room() -> None:
    room = np.array([0.0, 0.0, 200.0, 100.0])
    ((left, bottom),) = name_places(np.array([[60.0, 51.0]]), np.array([[40.0, 10.0]]), np.empty((0, 4)), room)
    assert GAP <= left - 60 <= GAP + 3
    assert bottom + 5 == pytest.approx(51, abs=1.5)


def test_names_of_a_crowd_cover_neither_each_other_nor_a_point() -> None:
    points = np.array([[100.0 + 3 * place, 80.0 + place % 2] for place in range(12)])
    sizes = np.tile([70.0, 10.0], (12, 1))
    taken = np.hstack([points - 3, points + 3])
    corners = name_places(points, sizes, taken, np.array([0.0, 0.0, 300.0, 160.0]))
    names = np.hstack([corners, corners + sizes])
    assert names[:, :2].min() >= 0
    assert (names[:, 2:] <= [300, 160]).all()
    pairs = [*combinations(names, 2), *((name, other) for name in names for other in taken)]
    for one_box, other in pairs:
        assert (np.maximum(one_box[:2], other[:2]) >= np.minimum(one_box[2:], other[2:])).any(), (one_box, other)


def test_the_figure_has_a_panel_for_each_kind_and_a_place_for_untuned_models(tmp_path: Path) -> None:
    table = table_of({"unet": record(1_000_000), "tuned": record(40, **{"from": "base"})})
    draw_parameters(tmp_path / "figure.png", table, phantom=True)
    svg = (tmp_path / "figure.svg").read_text(encoding="utf-8")
    for text in ("Automatic models, n = 2 images of 2 patients", "Promptable models, n = 2 lesions of 2 patients",
                 "trained", "1 M", "(phantom)"):  # fmt: skip
        assert f"{text}<" in svg, text
    assert set(re.findall(r'id="series:(\w+):', svg)) == {"unet", "base", "tuned"}
    data = pd.read_csv(tmp_path / "figure.csv")
    assert data[["model", "trainable_parameters"]].to_numpy().tolist() == [["unet", 1e6], ["base", 0], ["tuned", 40]]
    draw_parameters(tmp_path / "figure.png", table[table["kind"] == "automatic"], phantom=False)
    svg = (tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert "Promptable" not in svg
    assert ">trained<" not in svg
