"""How often the encoder runs: once for an image, or a window of it, and weights; never again for other prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch import Tensor

from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.prompts import PromptSettings
from mammoflow.segmentation.prompted.stage import segment
from mammoflow.segmentation.prompting.prompts import make_prompts
from mammoflow.segmentation.small.model import SmallModel
from mammoflow.storage.files import array_digest, write_image
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.prompts import PROMPTS
from mammoflow.weights.registry import ModelSpec


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of each call of the encoder."""
    calls: list[int] = []
    embed = SmallModel.embed

    def counted(self: SmallModel, batch: Tensor) -> Any:
        calls.append(len(batch))
        return embed(self, batch)

    monkeypatch.setattr(SmallModel, "embed", counted)
    return calls


def add_patients(shard: Path, count: int) -> None:
    """Add patients with one image and one lesion each, by writing the first image's with other grey levels."""
    images = read_table(shard / "images.parquet", CANONICAL_IMAGES)
    lesions = read_table(shard / "lesions.parquet", CANONICAL_LESIONS)
    generator = np.random.default_rng(11)
    for number in range(count):
        grey = generator.integers(0, 65536, (96, 72), dtype=np.uint16)
        name = f"new{number}"
        write_image(shard / "image" / f"{name}.png", grey)
        keys = {"image_id": name, "patient_id": name}
        image = images.iloc[[0]].assign(**keys, image_file=f"image/{name}.png", digest=array_digest(grey))
        lesion = lesions.iloc[[0]].assign(**keys, lesion_id=f"{name}_a", finding_id=f"{name}_a")
        images, lesions = pd.concat([images, image]), pd.concat([lesions, lesion])
    write_table(images, CANONICAL_IMAGES, shard / "images.parquet")
    write_table(lesions, CANONICAL_LESIONS, shard / "lesions.parquet")


def give_patches(shard: Path) -> None:
    lesions = read_table(shard / "lesions.parquet", CANONICAL_LESIONS)
    write_image(shard / "patch" / "film.png", np.random.default_rng(4).integers(0, 65536, (768, 360), dtype=np.uint16))
    lesions = lesions.assign(patch_file="patch/film.png", patch_spacing_mm=0.1, patch_y0=0.0, patch_x0=0.0)
    write_table(lesions, CANONICAL_LESIONS, shard / "lesions.parquet")


class Workflow:
    """Prompts and segmentation of a shard, with one store for all runs."""

    def __init__(self, shard: Path, weights: Path, folder: Path) -> None:
        self.shard, self.weights, self.folder, self.runs = shard, weights, folder, 0

    def run(self, prompts: PromptSettings, **settings: Any) -> list[Path]:
        """Run both stages in a folder of their own; return the tables of prompts."""
        self.runs += 1
        out = self.folder / str(self.runs)
        make_prompts(prompts, self.shard, out / "prompts.parquet")
        tables = [out / "prompts.parquet"]
        self.segment(tables, out / "masks", **settings)
        return tables

    def segment(self, tables: list[Path], output: Path, **settings: Any) -> None:
        stage = SegmentSettings(device="cpu", **{"iterations": 1, **settings})
        segment(
            stage, ModelSpec("small", "small", self.weights), self.shard, tables, self.folder / "store", 10.0, output, 1
        )


def test_each_image_is_encoded_once(shard: Path, small_weights: Path, tmp_path: Path, encoded: list[int]) -> None:
    workflow = Workflow(shard, small_weights, tmp_path)
    tables = workflow.run(PromptSettings(margins_mm=[10.0]))
    assert sum(encoded) == 2  # the third image has no lesion
    encoded.clear()
    workflow.run(PromptSettings(margins_mm=[10.0]))
    workflow.run(PromptSettings(margins_mm=[0.0, 10.0, 30.0]), iterations=2, feed="both", heads="predicted_iou")
    kinds = PromptSettings(margins_mm=[10.0], kinds=["box", "point", "box_point"], negative_points=2)
    workflow.run(kinds)
    workflow.run(PromptSettings(margins_mm=[10.0], draws=1, jitter_mm=3.0))
    make_prompts(PromptSettings(), shard, tmp_path / "chained.parquet", masks=tmp_path / "1" / "masks")
    assert len(read_table(tmp_path / "chained.parquet", PROMPTS))
    workflow.segment([*tables, tmp_path / "chained.parquet"], tmp_path / "chained")
    assert encoded == []
    add_patients(shard, 4)
    workflow.run(PromptSettings(margins_mm=[10.0]))
    assert sum(encoded) == 4


def test_each_window_is_encoded_once(shard: Path, small_weights: Path, tmp_path: Path, encoded: list[int]) -> None:
    give_patches(shard)
    workflow = Workflow(shard, small_weights, tmp_path)
    windows = {"fields_of_view": ["window"], "window_boxes": 1.0, "window_mm": 14.0}
    workflow.run(PromptSettings(margins_mm=[10.0]), **windows)
    assert sum(encoded) == 3  # one a lesion: its box with its margin is the window
    encoded.clear()
    workflow.run(PromptSettings(margins_mm=[10.0]), **windows)
    workflow.run(PromptSettings(margins_mm=[10.0], kinds=["box", "box_point"]), **windows)
    assert encoded == []
    workflow.run(PromptSettings(margins_mm=[10.0, 0.0]), **windows)
    assert sum(encoded) == 3  # the smaller boxes see other windows
    encoded.clear()
    workflow.run(
        PromptSettings(margins_mm=[10.0, 0.0]), fields_of_view=["image", "window"], window_boxes=1.0, window_mm=14.0
    )
    assert sum(encoded) == 2  # the whole images
