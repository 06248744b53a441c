from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammoflow.errors import StudyError
from mammoflow.report.gallery import Gallery, _case, read_gallery
from mammoflow.report.pictures import PictureTables, outline
from mammoflow.report.rings import Rings, read_rings, ring_paths
from mammoflow.storage.files import write_mask


@pytest.fixture(scope="module")
def gallery(run: Any) -> Gallery:
    tables = PictureTables.read(run.images, run.segmentation)
    rings = Rings((30.0, 60.0, 90.0), of_predicted=True)
    found = read_gallery(tables, run.root / "comparison" / "predictions.csv", 384, 1000, rings)
    assert found is not None
    return found


def test_every_test_lesion_is_a_case_without_an_id_of_a_patient(gallery: Gallery, run: Any) -> None:
    diameters = pd.read_csv(run.root / "comparison" / "dice_by_diameter.csv")
    test = diameters[diameters["split"] == "test"]
    assert [case.number for case in gallery.cases] == sorted(test["case"].unique())
    assert gallery.models == ["small", "sam2.1_hiera_tiny"]
    assert gallery.total == len(gallery.cases)
    by_case = test.set_index(["case", "model"])["dice"]
    for case in gallery.cases:
        assert not any(re.search(r"P\d{3}", fact) for fact in case.facts)
        for mask in case.masks:
            assert mask.dice == pytest.approx(by_case[case.number, mask.model], abs=1e-6)
        assert case.dice_list(2) == ",".join(f"{mask.dice:.3f}" for mask in case.masks)


def test_the_near_view_holds_the_lesion_and_is_inside_the_wide_one(gallery: Gallery) -> None:
    for case in gallery.cases:
        x, y, width, height = case.near
        assert 0 <= x <= x + width <= case.width
        assert 0 <= y <= y + height <= case.height
        points = np.array(re.findall(r"-?[\d.]+", case.reference), dtype=float).reshape(-1, 2)
        assert (points.min(axis=0) >= [x, y]).all()
        assert (points.max(axis=0) <= [x + width, y + height]).all()
        assert case.bar == 10.0  # the pixels of this run are 1 mm wide
        assert len(case.rings) == 3
        assert case.picture.startswith("data:image/webp;base64,")
        assert any(fact.startswith("density ") for fact in case.facts)
        assert any(fact.endswith((" CC", " MLO")) for fact in case.facts)


def test_calls_are_those_of_the_predictions(gallery: Gallery, run: Any) -> None:
    names = [model["name"] for model in gallery.calls.models]
    assert names[0] == "BI-RADS > 3"
    assert gallery.calls.has_reader
    assert "majority class" not in names
    table = pd.read_csv(run.root / "comparison" / "discordant.csv")
    first = table[table["seed"] == table.groupby("model")["seed"].transform("min")]
    for row in first.to_dict("records"):
        calls = gallery.calls.calls[row["case"]]
        right = [calls[0] == str(row["malignant"]), calls[names.index(row["model"])] == str(row["malignant"])]
        assert right == [row["right"] == "BI-RADS", row["right"] == "model"]
    record = json.loads(str(gallery.calls.record))
    assert len(record["scores"]) == len(gallery.cases)
    assert "<" not in gallery.calls.record


def test_a_gallery_can_be_shorter_or_absent(run: Any, tmp_path: Path) -> None:
    tables, predictions = PictureTables.read(run.images, run.masks), run.root / "comparison" / "predictions.csv"
    assert read_gallery(tables, predictions, 64, 0) is None
    short = read_gallery(tables, predictions, 64, 3)
    assert short is not None
    assert (len(short.cases), short.cases[0].rings) == (3, [])
    assert short.total > 3
    with pytest.raises(StudyError, match="run the comparison again"):
        read_gallery(tables, tmp_path / "predictions.csv", 64, 1)


@pytest.mark.parametrize(
    ("masks", "of_predicted", "start"),
    [
        ({"default": "found"}, True, "M40.5"),
        ({"default": "found", "second": "reference"}, True, "M40.5"),
        ({"default": "empty"}, True, None),
        ({"default": "empty", "second": "found"}, True, None),
        ({"second": "found"}, True, None),
        ({}, True, None),
        ({"default": "found"}, False, "M22.5"),
    ],
)
def test_rings_are_where_the_features_are(
    tmp_path: Path, masks: dict[str, str], of_predicted: bool, start: str | None
) -> None:
    for name, column in (("reference", 22), ("found", 40), ("empty", 54)):
        mask = np.zeros((54, 54), dtype=bool)
        mask[22:33, column : column + 11] = True
        write_mask(tmp_path / f"{name}.png", mask)
    lesion = pd.Series(
        {"case": 1, "malignant": 1, "lesion_type": "mass", "birads": 4, "diameter_mm": 11.0, "laterality": "L",
         "view": "CC", "y0": 22, "x0": 22, "y1": 33, "x1": 33, "mask_file": "reference.png", "folder": str(tmp_path)}
    )  # fmt: skip
    shared = {"folder": str(tmp_path), "choice": "first", "head_choice": "single", "seen": False, "dice": 0.0}
    shared |= {"prompts": "box", "margin_mm": 5.0, "field_of_view": "image", "prompt_points": None}
    rows = pd.DataFrame([{"model": model, "mask_file": f"{name}.png", **shared} for model, name in masks.items()])
    film = pd.Series({"row_spacing_mm": 1.0, "column_spacing_mm": 1.0})
    image, rings = np.zeros((54, 54), dtype=np.uint16), Rings((10.0,), of_predicted)
    case = _case(lesion, film, image, rows, ["default", "second"], "default", 54, rings)
    assert [ring.partition(" ")[0] for ring in case.rings] == ([] if start is None else [start])


def test_rings_are_circles_around_the_centroid(tmp_path: Path) -> None:
    folder = tmp_path / "features"
    folder.mkdir()
    assert read_rings(tmp_path, ["box", "gabor"]) is None
    (folder / "box.yaml").write_text("scale: 2\n", encoding="utf-8")
    (folder / "gabor.yaml").write_text("mask: reference\ninner_mm: 30.0\nring_mm: [60.0, 90.0]\n", encoding="utf-8")
    assert read_rings(tmp_path, ["box"]) is None, "gabor is of an earlier configuration"
    rings = read_rings(tmp_path, ["gabor", "box"])
    assert rings == Rings((30.0, 60.0, 90.0), of_predicted=False)
    mask = np.zeros((40, 40), dtype=bool)
    mask[10:14, 20:26] = True
    paths = ring_paths(rings, mask, (0.5, 1.0))
    # centre (23, 12); radii 15 mm are 30 rows and 15 columns
    assert paths[0].startswith("M8.0 12.0a15.0 30.0 0 1 0 30.0 0")
    assert ring_paths(rings, np.zeros((4, 4), dtype=bool), (1.0, 1.0)) == []


def test_a_simpler_outline_stays_near_the_mask() -> None:
    y, x = np.mgrid[:60, :60]
    mask = np.hypot(y - 30, x - 30) < 20
    whole, simple = outline(mask), outline(mask, 0.5)
    assert len(simple) < 0.7 * len(whole)
    points = np.array(re.findall(r"-?[\d.]+", simple), dtype=float).reshape(-1, 2)
    assert np.abs(np.hypot(*(points - 30.5).T) - 20).max() < 1.2
