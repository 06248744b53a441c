"""A tiny study as the earlier stages leave it, written by their own writers, and a tiny promptable model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.classification.samples import Files, PromptableSource
from mammoflow.classification.stage import train_classifier
from mammoflow.config.base import validate_settings
from mammoflow.config.classification import ClassifierSettings
from mammoflow.config.inference import EncoderUse
from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.prompts import PromptSettings
from mammoflow.segmentation.prompted.stage import segment
from mammoflow.segmentation.prompting.prompts import make_prompts
from mammoflow.segmentation.protocol.prediction import Embedding, Prediction
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.segmentation.protocol.segmenter import ImageSize
from mammoflow.storage.files import array_digest, read_image, write_image, write_mask
from mammoflow.tables.features import OK, write_features
from mammoflow.tables.files import write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.weights.registry import ModelSpec

HEIGHT, WIDTH = 64, 48
SPACING_MM = 1.0
MARGIN_MM = 2.0
SHARDS = ("00", "01")
FAMILY = "radiomics"


@dataclass
class Study:
    """Folders and tables of a tiny study, in two shards."""

    root: Path
    lesions: pd.DataFrame

    @property
    def images(self) -> list[Path]:
        return [self.root / "images" / shard for shard in SHARDS]

    @property
    def masks(self) -> list[Path]:
        return [self.root / "segmentation" / "fake" / shard for shard in SHARDS]

    @property
    def scores(self) -> list[Path]:
        return [folder / "scores.parquet" for folder in self.masks]

    @property
    def prompts(self) -> list[Path]:
        return [self.root / "prompts" / f"{shard}.parquet" for shard in SHARDS]

    @property
    def features(self) -> list[Path]:
        return [self.root / "features" / FAMILY / f"{shard}.parquet" for shard in SHARDS]

    def files(self) -> Files:
        """Return everything that a classifier job can be given."""
        spec = ModelSpec("fake", "small", self.root / "fake.safetensors")
        source = PromptableSource(spec, EncoderUse("fp32"), self.root / "store", MARGIN_MM)
        return Files(self.images, self.masks, self.prompts, self.features, self.scores, source)

    def brighten(self, image: Path) -> None:
        """Make the darker levels of an image brighter than the others, and change its digest in the table with it."""
        grey = np.round(65535 * (read_image(image) / 65535) ** 0.8).astype(np.uint16)
        write_image(image, grey)
        table = pd.read_parquet(image.parents[1] / "images.parquet")
        table.loc[table["image_id"] == image.stem, "digest"] = array_digest(grey)
        write_table(table, CANONICAL_IMAGES, image.parents[1] / "images.parquet")

    def copy(self, target: Path) -> Study:
        """Return a copy in another folder."""
        shutil.copytree(self.root, target, dirs_exist_ok=True)
        return Study(target, self.lesions)

    def rewrite_lesions(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        """Change the lesions table of every shard."""
        for folder in self.images:
            table = change(pd.read_parquet(folder / "lesions.parquet"))
            write_table(table, CANONICAL_LESIONS, folder / "lesions.parquet")

    def rewrite_images(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        """Change the images table of every shard."""
        for folder in self.images:
            table = change(pd.read_parquet(folder / "images.parquet"))
            write_table(table, CANONICAL_IMAGES, folder / "images.parquet")


def make_study(root: Path, patients: int = 24, seed: int = 0, lesions_on_first: int = 2) -> Study:
    """Write a study whose malignant lesions are bright and whose benign ones are dim.

    Every third patient is in test, every third but one in validation; the first image has several lesions.
    """
    generator = np.random.default_rng(seed)
    study = Study(root, pd.DataFrame())
    rows: dict[str, dict[str, list[dict[str, object]]]] = {shard: {"images": [], "lesions": []} for shard in SHARDS}
    for number in range(patients):
        shard, split = SHARDS[number % 2], ("train", "train", "validation", "test")[(number // 2) % 4]
        malignant = (number // 8 + number) % 2
        lesions = lesions_on_first if number == 0 else 1
        _write_patient(rows[shard], root / "images" / shard, generator, number, split, malignant, lesions)
    for folder, tables in zip(study.images, rows.values(), strict=True):
        write_table(pd.DataFrame(tables["images"]), CANONICAL_IMAGES, folder / "images.parquet")
        write_table(pd.DataFrame(tables["lesions"]), CANONICAL_LESIONS, folder / "lesions.parquet")
    study.lesions = pd.concat([pd.read_parquet(folder / "lesions.parquet") for folder in study.images])
    _write_prompts_and_masks(study)
    _write_features(study, generator)
    return study


def _write_prompts_and_masks(study: Study) -> None:
    """Run the prompt stage, and the segment stage with the tiny model."""
    settings = PromptSettings(margins_mm=[0.0, MARGIN_MM], default_margin_mm=MARGIN_MM)
    model = ModelSpec("fake", "small", study.root / "fake.safetensors")
    (study.root / "fake.safetensors").write_bytes(b"the tiny model is made, not loaded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mammoflow.segmentation.prompted.stage.load_promptable", lambda *_, **__: FakeModel())
        for images, prompts, masks in zip(study.images, study.prompts, study.masks, strict=True):
            make_prompts(settings, images, prompts)
            segment(
                SegmentSettings(iterations=1, device="cpu", precision="fp32"),
                model, images, [prompts], study.root / "store", MARGIN_MM, masks, 1,
            )  # fmt: skip


def _write_features(study: Study, generator: np.random.Generator) -> None:
    """Write a feature family with a constant column, one that tells the classes apart, and one with gaps."""
    columns = [f"{FAMILY}_{name}" for name in ("constant", "signal", "gaps")]
    for images, file in zip(study.images, study.features, strict=True):
        rows: list[dict[str, object]] = []
        for number, lesion in enumerate(pd.read_parquet(images / "lesions.parquet").to_dict("records")):
            values = (
                3.0, lesion["malignant"] + generator.normal(0, 0.1), np.nan if number % 5 == 0 else generator.normal()
            )  # fmt: skip
            keys = {"lesion_id": lesion["lesion_id"], "patient_id": lesion["patient_id"]}
            measured = {"status": OK, "detail": "", "spacing_mm": 0.2 + 0.01 * number}
            rows.append({**keys, **measured, **dict(zip(columns, values, strict=True))})
        write_features(rows, FAMILY, columns, [], file)


def _write_patient(
    tables: dict[str, list[dict[str, object]]],
    folder: Path,
    generator: np.random.Generator,
    number: int,
    split: str,
    malignant: int,
    lesions: int,
) -> None:
    patient, image_id = f"P{number:03d}", f"P{number:03d}_L_CC"
    breast = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    breast[4:60, :40] = True
    image = np.where(breast, 12000 + generator.normal(0, 800, breast.shape), 0)
    shared = {
        "image_id": image_id, "patient_id": patient, "source": "tiny", "laterality": "L", "view": "CC", "density": 2,
        "official_split": "", "split": split, "shard": number % 2,
    }  # fmt: skip
    for index in range(lesions):
        lesion_id = f"{image_id}_{index}"
        y0, x0 = 14 + 22 * index + int(generator.integers(0, 6)), 8 + int(generator.integers(0, 16))
        mask = np.zeros(breast.shape, dtype=np.bool_)
        mask[y0 : y0 + 10, x0 : x0 + 10] = True
        label = malignant if index == 0 else 1 - malignant
        image[mask] += 26000 if label else 9000
        write_mask(folder / "mask" / f"{lesion_id}.png", mask)
        tables["lesions"].append({
            **shared, "lesion_id": lesion_id, "finding_id": lesion_id, "lesion_type": "mass", "malignant": label,
            "pathology": None, "birads": 4, "subtlety": 3, "shape": None, "margins": None, "mask_path": None,
            "box_y0": None, "box_x0": None, "box_y1": None, "box_x1": None, "mask_file": f"mask/{lesion_id}.png",
            "y0": y0, "x0": x0, "y1": y0 + 10, "x1": x0 + 10, "area_mm2": 100.0, "diameter_mm": 14.0,
            "patch_file": f"patch/{lesion_id}.png", "patch_breast_file": f"patch/{lesion_id}_breast.png",
            "patch_mask_file": None, "patch_spacing_mm": SPACING_MM, "patch_y0": 0.0, "patch_x0": 0.0,
        })  # fmt: skip
    grey = np.clip(image, 0, 65535).astype(np.uint16)
    write_image(folder / "image" / f"{image_id}.png", grey)
    write_mask(folder / "breast" / f"{image_id}.png", breast)
    tables["images"].append({
        **shared, "image_path": "x", "spacing_mm": 1.0, "spacing_origin": "table", "default_spacing_mm": None,
        "film_height": HEIGHT, "film_width": WIDTH, "film_spacing_mm": 1.0, "height": HEIGHT, "width": WIDTH,
        "row_spacing_mm": SPACING_MM, "column_spacing_mm": SPACING_MM, "image_file": f"image/{image_id}.png",
        "breast_file": f"breast/{image_id}.png", "breast_area_mm2": 1.0, "digest": array_digest(grey),
    })  # fmt: skip


def train(study: Study, values: dict[str, Any], name: str, **changes: Any) -> Path:
    """Train a classifier with settings given as plain values; return its folder."""
    settings = validate_settings(ClassifierSettings, values, "test")
    output = study.root / "classification" / name
    train_classifier(settings, name, replace(study.files(), **changes), output, 1)
    return output


def record_in(weights: Path) -> dict[str, Any]:
    """Return the record of a training in the header of its weights."""
    with safe_open(weights, framework="pt") as file:
        record: dict[str, Any] = json.loads(file.metadata()["training"])
    return record


def assert_same_training(whole: Path, resumed: Path, resumed_from: int) -> None:
    """Check that a training that was killed ended with the weights, curve and predictions of an unbroken one."""
    record = json.loads((resumed / "training.json").read_text(encoding="utf-8"))
    assert record["seeds"]["0"]["resumed_from"] == resumed_from
    weights = [folder / "seeds" / "0" / "model.safetensors" for folder in (whole, resumed)]
    one, other = map(load_file, weights)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    first_record, second_record = map(record_in, weights)
    named = {"name": "", "title": ""}  # two trainings of one study have two names
    assert {**first_record, **named} == {**second_record, **named}
    assert (whole / "history.csv").read_bytes() == (resumed / "history.csv").read_bytes()
    first, second = (pd.read_parquet(folder / "predictions.parquet") for folder in (whole, resumed))
    assert (first["probability"].fillna(-1) == second["probability"].fillna(-1)).all()


class FakeNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, 6, 4, stride=4)
        self.decoder = nn.Conv2d(7, 4, 3, padding=1)


class FakeModel(PromptableModel):
    """A convolution as encoder, another as decoder; the image is scaled to the square's longest side and padded."""

    network: FakeNetwork
    side = 64

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.name, self.digest = "fake", f"fake {seed}"
        self.network = FakeNetwork()
        self.decoder = self.network.decoder
        self.encoded = 0

    def _scaled(self, size: ImageSize) -> ImageSize:
        scale = self.side / max(size)
        return int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)

    def preprocess(self, image: npt.NDArray[np.uint16]) -> Tensor:
        rows, columns = self._scaled((image.shape[0], image.shape[1]))
        grey = torch.from_numpy(image.astype(np.float32) / 65535)[None, None]
        scaled = functional.interpolate(grey, (rows, columns), mode="bilinear")[0].expand(3, -1, -1)
        return functional.pad(scaled, (0, self.side - columns, 0, self.side - rows))

    def embed(self, batch: Tensor) -> Embedding:
        self.encoded += len(batch)
        return {"image": self.network.encoder(batch)}

    def predict(self, embedding: Embedding, prompts: Prompts, size: ImageSize) -> Prediction:
        boxes = prompts.boxes
        assert boxes is not None
        image = embedding["image"].expand(len(boxes), -1, -1, -1)
        rows, columns = image.shape[-2:]
        scaled = self._scaled(size)
        scale = boxes.new_tensor([scaled[1] / size[1], scaled[0] / size[0]] * 2) / self.side
        x0, y0, x1, y1 = (boxes * scale).unbind(1)
        y = (torch.arange(rows, device=boxes.device) + 0.5)[None, :, None] / rows
        x = (torch.arange(columns, device=boxes.device) + 0.5)[None, None, :] / columns
        inside = (y > y0[:, None, None]) & (y < y1[:, None, None]) & (x > x0[:, None, None]) & (x < x1[:, None, None])
        state = self.network.decoder(torch.cat([image, inside[:, None].float()], dim=1))
        logits = state[:, :1] + 8 * inside[:, None].float() - 4
        return Prediction(
            functional.interpolate(logits, scale_factor=2.0),
            state.mean(dim=(2, 3))[:, :1],
            state.mean(dim=(2, 3))[:, None, 1:],
        )

    def upscale(self, low_res_logits: Tensor, size: ImageSize) -> Tensor:
        rows, columns = self._scaled(size)
        square = functional.interpolate(low_res_logits, (self.side, self.side), mode="bilinear", align_corners=False)
        return functional.interpolate(square[..., :rows, :columns], size, mode="bilinear", align_corners=False)
