"""Points, boxes, masks and their mixtures, held to the upstream predictors on the same seeded random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sam2.sam2_image_predictor import SAM2ImagePredictor
from segment_anything import SamPredictor
from segment_anything.build_sam import _build_sam
from skimage import data

from mammoflow.segmentation.networks.rgb_input import to_rgb
from mammoflow.segmentation.networks.sam import MedSamModel, SamModel
from mammoflow.segmentation.protocol.prediction import Embedding
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts

SIZE = (300, 220)
BOX = np.array([[40.0, 60.0, 120.0, 180.0]], np.float32)
ON, BESIDE = [80.5, 120.0], [30.0, 250.25]
KINDS: dict[str, dict[str, Any]] = {
    "box": {"boxes": BOX},
    "point": {"points": [[ON]], "labels": [[1]]},
    "negative point": {"points": [[ON, BESIDE]], "labels": [[1, 0]]},
    "box and point": {"boxes": BOX, "points": [[ON]], "labels": [[1]]},
    "box and points": {"boxes": BOX, "points": [[ON, BESIDE, [100.0, 90.0]]], "labels": [[1, 0, 1]]},
    "mask": {"mask": True},
    "box and mask": {"boxes": BOX, "mask": True},
    "point and mask": {"points": [[ON, BESIDE]], "labels": [[1, 0]], "mask": True},
}
QUICK = ("box", "point", "box and mask")
ANSWERS = [(kind, True) for kind in KINDS] + [
    pytest.param(kind, False, marks=() if kind in QUICK else pytest.mark.slow) for kind in KINDS
]
"""Kinds of prompts, for three heads and for one. The networks compute all heads and then select, so few are quick."""
MASK = np.random.default_rng(2).normal(0, 8, (1, 1, 256, 256)).clip(-32, 32).astype(np.float32)
"""Within the bound that SAM 2 sets to the logits that it hands on."""


@pytest.fixture(scope="module")
def film() -> npt.NDArray[np.uint16]:
    return data.camera()[: SIZE[0], : SIZE[1]].astype(np.uint16) * 257


@pytest.fixture(scope="module")
def sam() -> SamModel:
    torch.manual_seed(3)
    network = _build_sam(encoder_embed_dim=48, encoder_depth=2, encoder_num_heads=2, encoder_global_attn_indexes=[1])
    return SamModel("sam_vit_b", network, "weights")


@pytest.fixture(scope="module")
def sam2(thin_sam2: PromptableModel) -> PromptableModel:
    return thin_sam2


def embedding_of(model: PromptableModel, film: npt.NDArray[np.uint16]) -> Embedding:
    with torch.inference_mode():
        return model.embed(model.preprocess(film)[None])


@pytest.fixture(scope="module")
def sam_predictor(sam: SamModel, film: npt.NDArray[np.uint16]) -> SamPredictor:
    predictor = SamPredictor(sam.network)
    predictor.set_image(to_rgb(film))
    return predictor


@pytest.fixture(scope="module")
def sam_embedding(sam_predictor: SamPredictor) -> Embedding:
    """The predictor's own, to which other tests hold ours."""
    return {"image": sam_predictor.features}


@pytest.fixture(scope="module")
def sam2_predictor(sam2: PromptableModel, film: npt.NDArray[np.uint16]) -> SAM2ImagePredictor:
    predictor = SAM2ImagePredictor(sam2.network)
    predictor.set_image(to_rgb(film))
    return predictor


@pytest.fixture(scope="module")
def sam2_embedding(sam2_predictor: SAM2ImagePredictor) -> Embedding:
    """The predictor's own, to which other tests hold ours."""
    features = sam2_predictor._features
    levels = {f"level{index}": level for index, level in enumerate(features["high_res_feats"])}
    return {"image": features["image_embed"], **levels}


def asked(kind: str, several: bool) -> Prompts:
    parts = KINDS[kind]
    points, labels = (np.array(parts[name]) if name in parts else None for name in ("points", "labels"))
    return Prompts.of(parts.get("boxes"), points, labels, MASK if "mask" in parts else None, several)


def own_masks(
    model: PromptableModel, embedding: Embedding, prompts: Prompts
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    with torch.inference_mode():
        prediction = model.predict(embedding, prompts, SIZE)
        return model.upscale(prediction.low_res_logits, SIZE)[0].numpy(), prediction.predicted_iou[0].numpy()


def check(found: tuple[Any, Any], logits: npt.NDArray[np.float32], iou: npt.NDArray[np.float32]) -> None:
    np.testing.assert_allclose(found[0], logits, atol=1e-4, rtol=0)
    differing = (found[0] > 0) != (logits > 0)
    assert np.abs(logits[differing]).max(initial=0) < 1e-6  # random weights give logits at 0 up to rounding
    np.testing.assert_allclose(found[1], iou, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("kind", "several"), ANSWERS)
def test_sam_answers_as_its_upstream_predictor(
    kind: str, several: bool, sam: SamModel, sam_embedding: Embedding, sam_predictor: SamPredictor
) -> None:
    parts = KINDS[kind]
    points, labels = (np.array(parts[name][0]) if name in parts else None for name in ("points", "labels"))
    box, mask = parts["boxes"][0] if "boxes" in parts else None, MASK[0] if "mask" in parts else None
    logits, iou, _ = sam_predictor.predict(points, labels, box, mask, multimask_output=several, return_logits=True)
    check(own_masks(sam, sam_embedding, asked(kind, several)), logits, iou)


@pytest.mark.parametrize(("kind", "several"), ANSWERS)
def test_sam2_answers_as_its_upstream_predictor(
    kind: str, several: bool, sam2: PromptableModel, sam2_embedding: Embedding, sam2_predictor: SAM2ImagePredictor
) -> None:
    parts = KINDS[kind]
    points, labels = (np.array(parts[name][0]) if name in parts else None for name in ("points", "labels"))
    box, mask = parts.get("boxes"), MASK[0] if "mask" in parts else None
    logits, iou, _ = sam2_predictor.predict(points, labels, box, mask, multimask_output=several, return_logits=True)
    check(own_masks(sam2, sam2_embedding, asked(kind, several)), logits, iou)


@pytest.mark.parametrize("kind", KINDS)
def test_medsam_scales_prompts_as_its_stretched_image(kind: str, sam: SamModel, sam_embedding: Embedding) -> None:
    """MedSAM publishes no predictor for points: held to SAM's own prompt encoder and decoder."""
    model = MedSamModel("medsam_vit_b", sam.network, "weights")
    parts, network = KINDS[kind], sam.network
    scale = np.array([1024 / SIZE[1], 1024 / SIZE[0]], np.float32)
    points = boxes = None
    if "points" in parts:
        points = torch.from_numpy(np.array(parts["points"], np.float32) * scale), torch.tensor(parts["labels"])
    if "boxes" in parts:
        boxes = torch.from_numpy(parts["boxes"] * np.tile(scale, 2))
    with torch.inference_mode():
        masks = torch.from_numpy(MASK) if "mask" in parts else None
        sparse, dense = network.prompt_encoder(points=points, boxes=boxes, masks=masks)
        position = network.prompt_encoder.get_dense_pe()
        low, iou = network.mask_decoder(sam_embedding["image"], position, sparse, dense, multimask_output=True)
        prediction = model.predict(sam_embedding, asked(kind, several=True), SIZE)
    torch.testing.assert_close(prediction.low_res_logits, low, atol=1e-4, rtol=0)
    torch.testing.assert_close(prediction.predicted_iou, iou, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["sam", "sam2"])
def test_several_prompts_of_one_kind_answer_as_each_alone(name: str, request: pytest.FixtureRequest) -> None:
    model, embedding = request.getfixturevalue(name), request.getfixturevalue(f"{name}_embedding")
    generator = np.random.default_rng(5)
    boxes = np.sort(generator.uniform(0, 200, (3, 2, 2)), axis=1).reshape(3, 4)
    points, labels = generator.uniform(0, 200, (3, 2, 2)), np.array([[1, 0], [1, 1], [0, 1]])
    with torch.inference_mode():
        together = model.predict(embedding, Prompts.of(boxes, points, labels), SIZE)
        for row in range(3):
            rows = slice(row, row + 1)
            alone = model.predict(embedding, Prompts.of(boxes[rows], points[rows], labels[rows]), SIZE)
            torch.testing.assert_close(together.low_res_logits[rows], alone.low_res_logits, atol=1e-4, rtol=0)


def test_small_model_takes_points_alone_and_beside_a_box(small_model: PromptableModel) -> None:
    image = np.random.default_rng(1).integers(0, 65536, (256, 256), dtype=np.uint16)
    embedding = embedding_of(small_model, image)
    size, box = (256, 256), np.array([[88.0, 68.0, 112.0, 92.0]] * 2)
    points, labels = np.array([[[100.0, 80.0], [90.0, 70.0]]] * 2), np.array([[1, -1], [1, 0]])
    with torch.inference_mode():
        for boxes in (None, box):
            both = small_model.predict(embedding, Prompts.of(boxes, points, labels), size)
            assert both.low_res_logits.isfinite().all()
            assert not torch.equal(both.low_res_logits[0], both.low_res_logits[1])  # the negative point counts
            alone = Prompts.of(None if boxes is None else boxes[:1], points[:1, :1], labels[:1, :1])
            found = small_model.predict(embedding, alone, size).low_res_logits
            torch.testing.assert_close(found, both.low_res_logits[:1], atol=1e-4, rtol=1e-4)


def test_prompts_whose_parts_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="labels"):
        Prompts.of(points=np.zeros((1, 1, 2)))
    with pytest.raises(ValueError, match="one length"):
        Prompts.of(np.zeros((2, 4)), np.zeros((1, 1, 2)), np.zeros((1, 1), np.int64))
    with pytest.raises(ValueError, match="at least one part"):
        Prompts.of()
