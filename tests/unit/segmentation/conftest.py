"""A shard of canonical images with known lesions, and a small network with seeded random weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from mammoflow.segmentation.loading import build_model
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.storage.files import array_digest, write_image, write_mask
from mammoflow.tables.files import empty_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS

HEIGHT, WIDTH = 96, 72
ROW_SPACING, COLUMN_SPACING = 0.8, 0.5
THIN_HIERA = {
    "trunk.embed_dim": 16,
    "trunk.stages": "[1,1,2,1]",
    "trunk.global_att_blocks": "[3]",
    "neck.backbone_channel_list": "[128,64,32,16]",
}
"""A block of global attention stays."""


def image_row(image_id: str, image: np.ndarray) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "patient_id": f"patient of {image_id}",
        "source": "test",
        "laterality": "L",
        "view": "CC",
        "density": 2,
        "image_path": f"{image_id}.dcm",
        "spacing_mm": 0.05,
        "spacing_origin": "table",
        "default_spacing_mm": np.nan,
        "official_split": "",
        "split": "train",
        "shard": 0,
        "film_height": HEIGHT * 8,
        "film_width": WIDTH * 8,
        "film_spacing_mm": 0.05,
        "height": HEIGHT,
        "width": WIDTH,
        "row_spacing_mm": ROW_SPACING,
        "column_spacing_mm": COLUMN_SPACING,
        "image_file": f"image/{image_id}.png",
        "breast_file": f"breast/{image_id}.png",
        "breast_area_mm2": 100.0,
        "digest": array_digest(image),
    }


def lesion_row(lesion_id: str, image_id: str, box: tuple[int, int, int, int], mask_file: str | None) -> dict[str, Any]:
    y0, x0, y1, x1 = box
    return {
        "lesion_id": lesion_id,
        "finding_id": lesion_id,
        "image_id": image_id,
        "patient_id": f"patient of {image_id}",
        "source": "test",
        "laterality": "L",
        "view": "CC",
        "lesion_type": "mass",
        "malignant": 1,
        "pathology": "MALIGNANT",
        "birads": 4,
        "density": 2,
        "subtlety": 3,
        "shape": None,
        "margins": None,
        "mask_path": None,
        "box_y0": np.nan,
        "box_x0": np.nan,
        "box_y1": np.nan,
        "box_x1": np.nan,
        "official_split": "",
        "split": "train",
        "shard": 0,
        "mask_file": mask_file,
        "y0": float(y0),
        "x0": float(x0),
        "y1": float(y1),
        "x1": float(x1),
        "area_mm2": 1.0,
        "diameter_mm": 1.0,
        "patch_file": "patch/x.png",
        "patch_breast_file": "patch/x_breast.png",
        "patch_mask_file": None,
        "patch_spacing_mm": 0.05,
        "patch_y0": 0.0,
        "patch_x0": 0.0,
    }


@pytest.fixture(scope="session")
def written_shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shard, written once; tests take `shard`."""
    folder = tmp_path_factory.mktemp("shard") / "00"
    generator = np.random.default_rng(7)
    images = []
    for image_id in ("one", "two", "three"):
        image = generator.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
        write_image(folder / "image" / f"{image_id}.png", image)
        images.append(image_row(image_id, image))
    boxes = {"one/a": (20, 10, 40, 30), "one_b": (60, 40, 90, 72), "two_a": (5, 5, 25, 45)}
    lesions = []
    for lesion_id, box in boxes.items():
        mask_file = None if lesion_id == "two_a" else f"mask/{lesion_id.replace('/', '-')}.png"
        if mask_file:
            mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
            mask[box[0] : box[2], box[1] : box[3]] = True
            write_mask(folder / mask_file, mask)
        lesions.append(lesion_row(lesion_id, lesion_id[:3], box, mask_file))
    write_table(pd.DataFrame(images), CANONICAL_IMAGES, folder / "images.parquet")
    write_table(pd.DataFrame(lesions), CANONICAL_LESIONS, folder / "lesions.parquet")
    return folder


@pytest.fixture
def shard(written_shard: Path, tmp_path: Path) -> Path:
    """Three images; the first has two lesions with masks, the second one of a box alone, the third none."""
    return Path(shutil.copytree(written_shard, tmp_path / "images" / "00"))


@pytest.fixture
def empty_shard(tmp_path: Path) -> Path:
    folder = tmp_path / "images" / "01"
    write_table(empty_table(CANONICAL_IMAGES), CANONICAL_IMAGES, folder / "images.parquet")
    write_table(empty_table(CANONICAL_LESIONS), CANONICAL_LESIONS, folder / "lesions.parquet")
    return folder


@pytest.fixture(scope="session")
def small_model() -> PromptableModel:
    """The small network with seeded random weights."""
    torch.manual_seed(0)
    return build_model("small", None, "random", torch.device("cpu"))


@pytest.fixture(scope="session")
def thin_sam2() -> PromptableModel:
    """SAM 2.1 tiny at its own resolution with a thin image encoder; tests marked slow hold the full one to upstream."""
    from sam2.build_sam import build_sam2

    from mammoflow.segmentation.models.sam2 import CONFIGURATIONS
    from mammoflow.segmentation.networks.sam2 import Sam2Model

    name = "sam2.1_hiera_tiny"
    overrides = [f"++model.image_encoder.{key}={value}" for key, value in THIN_HIERA.items()]
    torch.manual_seed(3)
    network = build_sam2(CONFIGURATIONS[name], ckpt_path=None, device="cpu", hydra_overrides_extra=overrides)
    return Sam2Model(name, network.eval(), "random")


@pytest.fixture(scope="session")
def small_weights(small_model: PromptableModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of the small network."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file({name: tensor.contiguous().clone() for name, tensor in small_model.network.state_dict().items()}, path)
    return path
