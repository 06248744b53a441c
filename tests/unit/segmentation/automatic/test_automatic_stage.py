"""The automatic stage with a model that marks bright pixels: maps, components, masks, scores, misses, normal images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from mammoflow.config.detection import AutomaticSettings, DetectionSettings
from mammoflow.segmentation.automatic import stage
from mammoflow.segmentation.automatic.stage import segment_automatic
from mammoflow.segmentation.protocol.automatic import AutomaticModel
from mammoflow.segmentation.protocol.network_input import NetworkInput
from mammoflow.segmentation.protocol.segmenter import ImageSize
from mammoflow.storage.files import array_digest, read_image, read_mask
from mammoflow.tables.detections import DETECTIONS, MAPS
from mammoflow.tables.files import read_table
from mammoflow.tables.masks import MASKS, SEGMENTATION_SCORES
from mammoflow.weights.registry import ModelSpec

from .tiny_images import SIZE, SPACING, Disc, Film, write_shard

FILMS = [
    Film("A", "P1", "test", [Disc(16, 16), Disc(46, 30)]),
    Film("B", "P1", "test"),
    Film("C", "P2", "train", [Disc(30, 20, radius=1.0)]),
    Film("D", "P3", "validation", [Disc(30, 20, box=True)]),
]


class BrightPixels(AutomaticModel):
    """Says .9 where an image is bright and .1 elsewhere; sees pixels as they are."""

    input = NetworkInput(side_px=64)
    threshold = 0.4

    def __init__(self) -> None:
        self.name, self.digest = "bright", "bright"
        self.network = nn.Linear(1, 1)

    def preprocess(self, image: np.ndarray) -> Tensor:
        return torch.from_numpy(image.astype(np.float32))[None]

    def logits(self, batch: Tensor) -> Tensor:
        return torch.where(batch > 30000, 1.0, -1.0) * float(np.log(9))

    def upscale(self, logits: Tensor, size: ImageSize) -> Tensor:
        return logits


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the stage on the films; return a function that reads a table, and the folder."""
    monkeypatch.setattr(stage, "load_automatic", lambda *arguments: BrightPixels())

    def segment(films: list[Film] = FILMS, **detection: Any) -> tuple[dict[str, pd.DataFrame], Path]:
        images = write_shard(tmp_path / "images" / "00", films)
        output = tmp_path / "segmentation" / "bright" / "00"
        settings = AutomaticSettings(device="cpu", detection=DetectionSettings(**detection))
        segment_automatic(settings, ModelSpec("bright", "unet_16", tmp_path / "none"), images, output, threads=1)
        schemas = {"detections": DETECTIONS, "maps": MAPS, "masks": MASKS, "scores": SEGMENTATION_SCORES}
        return {name: read_table(output / f"{name}.parquet", schema) for name, schema in schemas.items()}, output

    return segment


def test_the_table_of_a_promptable_model_of_the_same_name_is_removed(run: Any) -> None:
    _, output = run()
    (output / "empty.parquet").write_text("of a promptable model")
    run()
    assert not (output / "empty.parquet").exists()


def test_every_image_has_a_map_on_its_own_grid(run: Any) -> None:
    tables, output = run()
    assert tables["maps"]["image_id"].tolist() == ["A", "B", "C", "D"]
    for file in tables["maps"]["map_file"]:
        levels = read_image(output / file)
        assert levels.dtype == np.uint16
        assert levels.shape == SIZE
    assert read_image(output / "map" / "A.png")[16, 16] == round(0.9 * 65535)
    assert read_image(output / "map" / "B.png").max() == round(0.1 * 65535)
    assert set(tables["maps"]["threshold"]) == {0.4}


def test_lesions_get_the_components_that_hit_them(run: Any) -> None:
    tables, output = run()
    found = tables["detections"].set_index(["image_id", "component"])
    assert set(found.loc["A", "lesion_id"]) == {"A/0", "A/1"}
    assert found.loc["A", "is_mask"].all()
    masks = tables["masks"].set_index("lesion_id")
    assert np.array_equal(read_mask(output / masks.loc["A/1", "mask_file"]), Disc(46, 30).mask())
    assert masks.loc["A/1", "digest"] == array_digest(Disc(46, 30).mask())
    assert masks[["prompt_id", "iteration", "choice", "head_choice"]].isna().all(axis=None)
    scores = tables["scores"].set_index("lesion_id")
    assert scores.loc["A/0", "dice"] == 1.0
    assert set(scores["kind"]) == {"none"}
    assert set(scores["origin"]) == {"automatic"}
    assert scores["view_spacing_mm"].tolist() == pytest.approx([SPACING] * 4)
    centre = found.loc[("A", 1)]
    assert (centre["y"], centre["x"]) in ((16.0, 16.0), (46.0, 30.0))


@pytest.mark.parametrize("image_id", ["P-1.L_CC", "患者" * 30, "with blank"], ids=["plain", "long", "blank"])
def test_files_have_names_that_fit_whatever_the_ids_are(run: Any, image_id: str) -> None:
    tables, output = run([Film(image_id, "P1", "test", [Disc(16, 16)])])
    map_file, mask_file = tables["maps"]["map_file"][0], tables["masks"]["mask_file"][0]
    assert (map_file == f"map/{image_id}.png") == (image_id == "P-1.L_CC")
    assert re.fullmatch(r"mask/[A-Za-z0-9._-]{1,120}\.png", mask_file)
    assert read_image(output / map_file).shape == SIZE
    assert np.array_equal(read_mask(output / mask_file), Disc(16, 16).mask())


def test_a_missed_lesion_has_a_score_of_0_and_no_mask(run: Any) -> None:
    # The lesion of C has 4 pixels of .25 mm², less than the least area.
    tables, _ = run(least_area_mm2=2.0)
    assert "C/0" not in set(tables["masks"]["lesion_id"])
    row = tables["scores"].set_index("lesion_id").loc["C/0"]
    assert (row["dice"], row["missed"], row["area_mm2"], row["chosen"]) == (0.0, True, 0.0, True)
    assert tables["maps"].set_index("image_id").loc["C", "dice"] == 0.0


def test_empty_against_empty_has_a_dice_of_1_on_an_image_without_lesion(run: Any) -> None:
    tables, _ = run()
    row = tables["maps"].set_index("image_id").loc["B"]
    assert (row["lesions"], row["components"], row["dice"], row["reference_area_mm2"]) == (0, 0, 1.0, 0.0)


def test_a_lesion_with_a_box_alone_is_hit_and_has_no_dice(run: Any) -> None:
    tables, _ = run()
    scores = tables["scores"].set_index("lesion_id")
    assert np.isnan(scores.loc["D/0", "dice"])
    assert not scores.loc["D/0", "missed"]
    row = tables["maps"].set_index("image_id").loc["D"]
    assert np.isnan(row["dice"])
    assert tables["detections"].set_index("image_id").loc["D", "lesion_id"] == "D/0"


def test_image_dice_is_that_of_all_components_with_all_lesions(run: Any) -> None:
    # One of the two lesions is not marked: with r pixels each, Dice is 2 r / (r + 2 r).
    films = [Film("A", "P1", "test", [Disc(16, 16), Disc(46, 30)])]
    tables, _ = run(films, threshold=0.95)
    assert tables["maps"]["dice"].tolist() == [0.0]
    assert tables["scores"]["missed"].all()
    assert tables["detections"].empty
    assert tables["masks"].empty


def test_an_image_has_the_scores_of_its_whole_map(run: Any) -> None:
    tables, _ = run(least_area_mm2=2.0)
    maps = tables["maps"].set_index("image_id")
    scores = ["dice", "iou", "precision", "recall", "pixel_accuracy", "hd95_mm", "surface_distance_mm"]
    assert maps.loc["A", scores].tolist() == [1, 1, 1, 1, 1, 0, 0]
    assert maps.loc["B", scores].tolist() == [1, 1, 1, 1, 1, 0, 0]  # both are empty
    missed = maps.loc["C"]
    assert missed[["dice", "iou", "precision", "recall"]].tolist() == [0, 0, 0, 0]
    assert missed["pixel_accuracy"] == pytest.approx(1 - 4 / (SIZE[0] * SIZE[1]))
    assert missed[["hd95_mm", "surface_distance_mm"]].isna().all()
    assert maps.loc["D", scores].isna().all()  # its lesion has a box alone


def test_the_configuration_may_set_threshold_and_rule(run: Any) -> None:
    tables, _ = run(threshold=0.5, hit="centre")
    assert set(tables["maps"]["threshold"]) == {0.5}
    assert set(tables["maps"]["hit_rule"]) == {"centroid in the lesion's mask"}


def test_a_bright_spot_beside_the_lesions_is_a_false_positive(run: Any, tmp_path: Path) -> None:
    # The second disc of the image is taken out of the tables: nobody knows of it.
    films = [Film("A", "P1", "test", [Disc(16, 16), Disc(46, 30)])]
    _, output = run(films)
    images = tmp_path / "images" / "00"
    lesions = pd.read_parquet(images / "lesions.parquet")
    lesions[:1].to_parquet(images / "lesions.parquet")
    model = ModelSpec("bright", "unet_16", tmp_path / "none")
    segment_automatic(AutomaticSettings(device="cpu"), model, images, output, threads=1)
    found = read_table(output / "detections.parquet", DETECTIONS)
    assert sorted(found["lesion_id"].fillna("none")) == ["A/0", "none"]
    row = read_table(output / "maps.parquet", MAPS).iloc[0]
    one = np.count_nonzero(Disc(16, 16).mask())
    two = np.count_nonzero(Disc(46, 30).mask())
    assert row["dice"] == pytest.approx(2 * one / (one + two + one))


def test_an_empty_shard_writes_empty_tables(run: Any) -> None:
    tables, _ = run([])
    assert all(table.empty for table in tables.values())


def test_a_patient_in_the_record_of_the_weights_is_seen(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "seen_patients", lambda weights: frozenset({"P2"}))
    tables, _ = run(least_area_mm2=0)
    for name in ("maps", "scores", "detections"):
        seen = tables[name].groupby("patient_id")["seen"].all()
        assert seen.to_dict() == {"P1": False, "P2": True, "P3": False}
