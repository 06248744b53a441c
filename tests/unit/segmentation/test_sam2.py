from __future__ import annotations

import numpy as np
import pytest
import torch
from sam2.sam2_image_predictor import SAM2ImagePredictor

from mammoflow.errors import WeightsError
from mammoflow.segmentation.loading import build_model
from mammoflow.segmentation.models.sam2 import CONFIGURATIONS
from mammoflow.segmentation.networks.rgb_input import to_rgb
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts

SIZE = (180, 120)
BOXES = np.array([[30, 40, 90, 120], [10.5, 20, 50, 80.25]], dtype=np.float32)


@pytest.fixture(scope="module")
def model(thin_sam2: PromptableModel) -> PromptableModel:
    return thin_sam2


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    blob = np.exp(-((rows - 80) ** 2 + (columns - 60) ** 2) / 800)
    noise = np.random.default_rng(5).normal(0, 0.05, SIZE)
    return (np.clip(blob + noise, 0, 1) * 65535).astype(np.uint16)


@pytest.fixture(scope="module")
def predictor(model: PromptableModel, image: np.ndarray) -> SAM2ImagePredictor:
    upstream = SAM2ImagePredictor(model.network)
    upstream.set_image(to_rgb(image))
    return upstream


@pytest.fixture(scope="module")
def embedding(model: PromptableModel, image: np.ndarray) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        return {name: tensor.clone() for name, tensor in model.embed(model.preprocess(image)[None]).items()}


def test_embedding_is_the_upstream_predictors(
    predictor: SAM2ImagePredictor, embedding: dict[str, torch.Tensor]
) -> None:
    features = predictor._features
    torch.testing.assert_close(embedding["image"], features["image_embed"], atol=1e-4, rtol=0)
    for index, level in enumerate(features["high_res_feats"]):
        torch.testing.assert_close(embedding[f"level{index}"], level, atol=1e-4, rtol=0)


@pytest.mark.parametrize("several", [False, True])
def test_masks_are_the_upstream_predictors_over_two_iterations(
    several: bool, model: PromptableModel, predictor: SAM2ImagePredictor, embedding: dict[str, torch.Tensor]
) -> None:
    logits, prompt, own_prompt = None, None, None
    for _ in range(2):
        logits, iou, low = predictor.predict(box=BOXES, mask_input=prompt, multimask_output=several, return_logits=True)
        with torch.inference_mode():
            asked = Prompts(torch.from_numpy(BOXES), mask_logits=own_prompt, several_masks=several)
            own = model.predict(embedding, asked, SIZE)
            upscaled = model.upscale(own.low_res_logits, SIZE).numpy()
        np.testing.assert_allclose(upscaled, logits, atol=1e-4)
        np.testing.assert_array_equal(upscaled > 0, logits > 0)
        np.testing.assert_allclose(own.predicted_iou.numpy(), iou, atol=1e-4)
        assert own.tokens.shape == (2, 3 if several else 1, 256)
        prompt, own_prompt = low[:, :1], own.low_res_logits[:, :1]
    assert 0 < np.mean(logits > 0) < 1


def test_logits_that_are_fed_back_are_bounded_as_upstream_bounds_them(
    model: PromptableModel, embedding: dict[str, torch.Tensor]
) -> None:
    prompt = torch.randn(2, 1, 256, 256, generator=torch.Generator().manual_seed(0)) * 100
    boxes = torch.from_numpy(BOXES)
    with torch.inference_mode():
        raw = model.predict(embedding, Prompts(boxes, mask_logits=prompt), SIZE).low_res_logits
        bounded = model.predict(embedding, Prompts(boxes, mask_logits=prompt.clamp(-32, 32)), SIZE).low_res_logits
    torch.testing.assert_close(raw, bounded)


def test_an_embedding_for_each_box_decodes_as_one_for_all(
    model: PromptableModel, embedding: dict[str, torch.Tensor]
) -> None:
    repeated = {name: tensor.repeat(2, 1, 1, 1) for name, tensor in embedding.items()}
    with torch.inference_mode():
        shared = model.predict(embedding, Prompts.of(BOXES), SIZE).low_res_logits
        apart = model.predict(repeated, Prompts.of(BOXES), SIZE).low_res_logits
    torch.testing.assert_close(shared, apart)


def test_decoder_can_be_trained(model: PromptableModel, embedding: dict[str, torch.Tensor]) -> None:
    detached = {name: tensor.clone() for name, tensor in embedding.items()}
    prediction = model.predict(detached, Prompts.of(BOXES[:1]), SIZE)
    model.upscale(prediction.low_res_logits, SIZE).mean().backward()
    gradients = [parameter.grad for parameter in model.decoder.parameters() if parameter.grad is not None]
    assert any(gradient.abs().sum() > 0 for gradient in gradients)
    model.network.zero_grad()


def test_every_configured_architecture_is_in_the_package() -> None:
    from importlib.resources import files

    for configuration in CONFIGURATIONS.values():
        assert files("sam2").joinpath(configuration).is_file()


def test_wrong_names_and_wrong_weights_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sam2\.1_hiera_tiny"):
        build_model("sam2.1_hiera_huge", None, "", torch.device("cpu"))
    with pytest.raises(WeightsError, match="do not fit"):
        build_model("sam2.1_hiera_tiny", {"a": torch.zeros(1)}, "", torch.device("cpu"))
