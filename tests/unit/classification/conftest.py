"""A tiny study as the earlier stages leave it, and a small promptable model behind the protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.segmentation.protocol import Embedding, ImageSize, Prediction, PromptableModel, Prompts
from mammoflow.storage.files import array_digest, write_image, write_mask
from mammoflow.tables.features import OK, write_features
from mammoflow.tables.files import write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.masks import MASKS
from mammoflow.tables.prompts import PROMPTS

HEIGHT, WIDTH = 64, 48
SPACING_MM = 1.0
MARGIN_MM = 2.0
RADIOMICS = ("radiomics_constant", "radiomics_signal", "radiomics_gaps")


@dataclass
class Study:
    """Folders and tables of a tiny study, in two shards."""

    root: Path
    images: list[Path]
    masks: list[Path]
    prompts: list[Path]
    radiomics: list[Path]
    lesions: pd.DataFrame

    def rewrite_lesions(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        """Change the lesions table of every shard."""
        for folder in self.images:
            table = change(pd.read_parquet(folder / "lesions.parquet"))
            write_table(table, CANONICAL_LESIONS, folder / "lesions.parquet")


def make_study(root: Path, patients: int = 24, seed: int = 0, lesions_on_first: int = 2) -> Study:
    """Write a study whose malignant lesions are bright and whose benign ones are dim.

    Every third patient stands in test, every third but one in validation; the first image has several lesions.
    """
    generator = np.random.default_rng(seed)
    study = Study(root, [], [], [], [], pd.DataFrame())
    tables: dict[int, dict[str, list[dict[str, object]]]] = {
        shard: {"images": [], "lesions": [], "masks": [], "prompts": [], "radiomics": []} for shard in (0, 1)
    }
    for number in range(patients):
        shard, split = number % 2, ("train", "train", "validation", "test")[(number // 2) % 4]
        folder = root / "images" / f"{shard:02d}"
        malignant = (number // 8 + number) % 2
        _write_patient(
            tables[shard], folder, generator, number, split, malignant, lesions_on_first if number == 0 else 1
        )
    for shard, rows in tables.items():
        folder = root / "images" / f"{shard:02d}"
        write_table(pd.DataFrame(rows["images"]), CANONICAL_IMAGES, folder / "images.parquet")
        write_table(pd.DataFrame(rows["lesions"]), CANONICAL_LESIONS, folder / "lesions.parquet")
        masks = root / "segmentation" / "fake" / f"{shard:02d}"
        write_table(pd.DataFrame(rows["masks"]), MASKS, masks / "masks.parquet")
        study.prompts.append(root / "prompts" / f"{shard:02d}.parquet")
        write_table(pd.DataFrame(rows["prompts"]), PROMPTS, study.prompts[-1])
        study.radiomics.append(root / "features" / "radiomics" / f"{shard:02d}.parquet")
        write_features(rows["radiomics"], "radiomics", RADIOMICS, (), study.radiomics[-1])
        study.images.append(folder)
        study.masks.append(masks)
    study.lesions = pd.concat([pd.read_parquet(folder / "lesions.parquet") for folder in study.images])
    return study


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
        segmentation = folder.parent.parent / "segmentation" / "fake" / folder.name
        write_mask(segmentation / "mask" / f"{lesion_id}.png", mask)
        tables["lesions"].append({
            **shared, "lesion_id": lesion_id, "finding_id": lesion_id, "lesion_type": "mass", "malignant": label,
            "pathology": None, "birads": 4, "subtlety": 3, "shape": None, "margins": None, "mask_path": None,
            "box_y0": None, "box_x0": None, "box_y1": None, "box_x1": None, "mask_file": f"mask/{lesion_id}.png",
            "y0": y0, "x0": x0, "y1": y0 + 10, "x1": x0 + 10, "area_mm2": 100.0, "diameter_mm": 14.0,
            "patch_file": f"patch/{lesion_id}.png", "patch_breast_file": f"patch/{lesion_id}_breast.png",
            "patch_mask_file": None, "patch_spacing_mm": SPACING_MM, "patch_y0": 0.0, "patch_x0": 0.0,
        })  # fmt: skip
        tables["masks"].append({
            "lesion_id": lesion_id, "image_id": image_id, "patient_id": patient, "model": "fake",
            "prompt_id": f"{lesion_id}_p", "mask_file": f"mask/{lesion_id}.png", "iteration": 1, "area_mm2": 100.0,
            "predicted_iou": 0.9, "field_of_view": "image", "choice": "first", "head_choice": "single",
        })  # fmt: skip
        for margin in (0.0, MARGIN_MM):
            tables["prompts"].append({
                "prompt_id": f"{lesion_id}_{margin:g}", "lesion_id": lesion_id, "image_id": image_id, "kind": "box",
                "margin_mm": margin, "y0": y0 - margin, "x0": x0 - margin, "y1": y0 + 10 + margin,
                "x1": x0 + 10 + margin, "origin": "reference", "draw": 0, "points": "",
            })  # fmt: skip
        tables["radiomics"].append({
            "lesion_id": lesion_id, "patient_id": patient, "status": OK, "detail": "",
            "spacing_mm": 0.25 if number % 3 else 0.2175, "radiomics_constant": 3.0,
            "radiomics_signal": label + generator.normal(0, 0.1),
            "radiomics_gaps": np.nan if number % 5 == 0 else generator.normal(),
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


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path)


@pytest.fixture
def fake_model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    """A fake promptable model that `load_model` gives."""
    model = FakeModel()
    monkeypatch.setattr("mammoflow.classification.perceptron_stage.load_model", lambda *_, **__: FakeModel())
    return model


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
