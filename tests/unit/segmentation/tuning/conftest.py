"""Thin networks of SAM's and SAM 2's own modules, and a study of bright discs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from sam2.build_sam import build_sam2
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from mammoflow.segmentation.loading import build_model
from mammoflow.segmentation.networks.sam2 import Sam2Model
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.storage.files import array_digest, write_image, write_mask
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS

SIDE, CHANNELS = 128, 32
SIZES = [(96, 72), (72, 96), (80, 80)]
SPLITS = ["train"] * 4 + ["validation"] * 2 + ["test"]
THIN_HIERA = {
    "image_size": 128,
    "image_encoder.trunk.embed_dim": 16,
    "image_encoder.trunk.stages": "[1,1,1,1]",
    "image_encoder.trunk.global_att_blocks": "[]",
    "image_encoder.trunk.window_pos_embed_bkg_spatial_size": "[4,4]",
    "image_encoder.neck.backbone_channel_list": "[128,64,32,16]",
}


def thin_sam() -> Sam:
    """SAM of segment-anything's own modules, at 128 x 128 with 32 channels."""
    grid = SIDE // 16
    torch.manual_seed(5)
    encoder = ImageEncoderViT(
        img_size=SIDE,
        embed_dim=24,
        depth=2,
        num_heads=2,
        out_chans=CHANNELS,
        use_rel_pos=True,
        window_size=5,
        global_attn_indexes=(1,),
    )
    decoder = MaskDecoder(
        num_multimask_outputs=3,
        transformer=TwoWayTransformer(depth=2, embedding_dim=CHANNELS, mlp_dim=64, num_heads=2),
        transformer_dim=CHANNELS,
        iou_head_depth=2,
        iou_head_hidden_dim=32,
    )
    prompts = PromptEncoder(
        embed_dim=CHANNELS, image_embedding_size=(grid, grid), input_image_size=(SIDE, SIDE), mask_in_chans=8
    )
    return Sam(encoder, prompts, decoder).eval()


@pytest.fixture(scope="module", autouse=True)
def registry() -> Iterator[None]:
    """Let the thin network stand for ViT-B, so that weights of it go through the ordinary ways."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sam_model_registry, "vit_b", thin_sam)
        yield


@pytest.fixture
def sam() -> PromptableModel:
    return build_model("sam_vit_b", None, "thin", torch.device("cpu"))


@pytest.fixture
def hiera() -> PromptableModel:
    torch.manual_seed(6)
    overrides = [f"++model.{key}={value}" for key, value in THIN_HIERA.items()]
    network = build_sam2(
        "configs/sam2.1/sam2.1_hiera_t.yaml", ckpt_path=None, device="cpu", hydra_overrides_extra=overrides
    )
    return Sam2Model("sam2.1_hiera_tiny", network.eval(), "thin")


@pytest.fixture(scope="session")
def written_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the thin network, written once; tests take `sam_weights`."""
    path = tmp_path_factory.mktemp("weights") / "thin.safetensors"
    save_file({name: tensor.clone() for name, tensor in thin_sam().state_dict().items()}, path)
    return path


@pytest.fixture
def sam_weights(written_weights: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written_weights.parent, tmp_path / "weights")) / written_weights.name


@pytest.fixture
def discs(written_discs: Path, tmp_path: Path) -> Path:
    """A shard of one bright disc a patient, in images of several sizes; the mask of the test patient is damaged."""
    return Path(shutil.copytree(written_discs, tmp_path / "images" / "00"))


@pytest.fixture(scope="session")
def written_discs(written_shard: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The discs, written once; tests take `discs`."""
    folder = Path(shutil.copytree(written_shard, tmp_path_factory.mktemp("discs") / "00"))
    image_row = read_table(folder / "images.parquet", CANONICAL_IMAGES).iloc[0].to_dict()
    lesion_row = read_table(folder / "lesions.parquet", CANONICAL_LESIONS).iloc[0].to_dict()
    generator = np.random.default_rng(3)
    images, lesions = [], []
    for number, split in enumerate(SPLITS):
        height, width = SIZES[number % len(SIZES)]
        image_id = f"image{number}"
        centre = generator.uniform(0.35, 0.65, 2) * (height, width)
        rows, columns = np.mgrid[:height, :width]
        mask = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < generator.uniform(10, 15) ** 2
        grey = (generator.normal(12_000, 1_500, mask.shape) + 40_000 * mask).clip(0, 65_535).astype(np.uint16)
        write_image(folder / "image" / f"{image_id}.png", grey)
        write_mask(folder / "mask" / f"{image_id}.png", mask)
        y, x = np.nonzero(mask)
        box = {"y0": float(y.min()), "x0": float(x.min()), "y1": float(y.max()) + 1, "x1": float(x.max()) + 1}
        shared = {"image_id": image_id, "split": split, "patient_id": f"P_{number}", "source": "discs"}
        file = {"image_file": f"image/{image_id}.png", "digest": array_digest(grey), "height": height, "width": width}
        lesion = {"lesion_id": f"lesion{number}", "finding_id": f"lesion{number}", "mask_file": f"mask/{image_id}.png"}
        images.append({**image_row, **shared, **file})
        lesions.append({**lesion_row, **shared, **lesion, **box})
    (folder / "mask" / f"image{len(SPLITS) - 1}.png").write_bytes(b"damaged")
    write_table(pd.DataFrame(images), CANONICAL_IMAGES, folder / "images.parquet")
    write_table(pd.DataFrame(lesions), CANONICAL_LESIONS, folder / "lesions.parquet")
    return folder
