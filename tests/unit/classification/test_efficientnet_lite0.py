"""EfficientNet-Lite0 with its published weights is the package's own network, and knows ordinary photographs."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from skimage import data
from torch import Tensor

from mammoflow.classification.network import Network
from mammoflow.classification.networks import efficientnet_lite0
from mammoflow.errors import WeightsError
from mammoflow.weights.checkpoint import read_state
from mammoflow.weights.registry import packaged_weights

CLASSES = {"coffee": {967}, "rocket": {657, 744}, "chelsea": {281, 282, 285}}
"""ImageNet's classes of the photographs: espresso; missile, projectile; tabby, tiger cat, Egyptian cat."""


@pytest.fixture(scope="module")
def weights() -> Path:
    return packaged_weights("efficientnet_lite0", efficientnet_lite0.WEIGHTS)


@pytest.fixture(scope="module")
def state(weights: Path) -> dict[str, Tensor]:
    return read_state(weights)


@pytest.fixture(scope="module")
def ours(weights: Path) -> Network:
    return efficientnet_lite0.build(efficientnet_lite0.Options(), weights, 0).eval()


def photograph(name: str, side: int) -> Tensor:
    colour = getattr(data, name)()
    height, width = colour.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = cv2.resize(
        np.ascontiguousarray(colour[top : top + short, left : left + short]), (side, side), interpolation=cv2.INTER_AREA
    )
    return torch.from_numpy(square).permute(2, 0, 1)[None].float() / 255


def logits(network: Network, state: dict[str, Tensor], pictures: Tensor) -> Tensor:
    """Standardise as the network asks, and put the published last layer behind its features."""
    assert network.levels is not None
    mean, deviation = (torch.tensor(values).view(-1, 1, 1) for values in network.levels)
    with torch.inference_mode():
        features = network({"picture": (pictures - mean) / deviation})
        return features @ state["_fc.weight"].T + state["_fc.bias"]


def published_logits(state: dict[str, Tensor], side: int, pictures: Tensor) -> Tensor:
    """Logits of the package's network, built for pictures of a size."""
    upstream: Any = EfficientNet.from_name("efficientnet-lite0", image_size=side)
    upstream.load_state_dict(state)
    with torch.inference_mode():
        return upstream.eval()((pictures - 0.5) / 0.5)


def test_logits_are_those_of_the_package(ours: Network, state: dict[str, Tensor]) -> None:
    pictures = torch.cat([photograph(name, 224) for name in CLASSES])
    torch.testing.assert_close(logits(ours, state, pictures), published_logits(state, 224, pictures), rtol=0, atol=1e-4)


@pytest.mark.parametrize("side", [150, 160])
def test_padding_is_that_of_the_weights_at_other_sizes(ours: Network, state: dict[str, Tensor], side: int) -> None:
    """The package pads as TensorFlow does for the size that its network is built for."""
    pictures = photograph("chelsea", side)
    expected = published_logits(state, side, pictures)
    torch.testing.assert_close(logits(ours, state, pictures), expected, rtol=0, atol=1e-4)
    if side % 32:
        assert not torch.allclose(published_logits(state, 224, pictures), expected, atol=0.1)


@pytest.mark.parametrize("name", CLASSES)
def test_photographs_have_their_class(ours: Network, state: dict[str, Tensor], name: str) -> None:
    assert int(logits(ours, state, photograph(name, 224)).argmax()) in CLASSES[name]


def test_a_training_step_changes_no_dropout_of_its_own() -> None:
    """The head's dropout is the stage's; the network adds stochastic depth alone, from torch's generator."""
    network = efficientnet_lite0.build(efficientnet_lite0.Options(), None, 0)
    assert network.levels is None
    assert network.backbone._dropout.p == 0  # type: ignore[attr-defined, union-attr]


@pytest.mark.usefixtures("fake_model")
def test_a_training_from_published_weights_records_them(tiny: ModuleType, tiny_study: Any) -> None:
    values = {"input": "masked_crop", "network": "efficientnet_lite0", "epochs": 1, "device": "cpu"}
    values |= {"weights": "published", "input_options": {"image_px": 32}}
    output = tiny.train(tiny_study, values, "published")
    source = efficientnet_lite0.WEIGHTS
    for file in (output / "training.json", output / "seeds" / "0" / "record.json"):
        first = json.loads(file.read_text(encoding="utf-8"))["first_weights"]
        assert f"sha256:{first['sha256']}" == source.checksum
        assert (first["licence"], first["source"]) == ("Apache-2.0", source.origin)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="do not fit EfficientNet-Lite0"):
        efficientnet_lite0.build(efficientnet_lite0.Options(), tmp_path / "other.pth", 0)


def test_frozen_blocks_keep_their_weights_and_the_rest_learns() -> None:
    network = efficientnet_lite0.build(efficientnet_lite0.Options(frozen_blocks=3), None, 0)
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert {name.split(".")[1] for name in frozen} == {"_conv_stem", "_bn0", "_blocks"}
    assert {name.split(".")[2] for name in frozen if "_blocks" in name} == {"0", "1", "2"}
    network({"picture": torch.rand(2, 1, 32, 32)}).sum().backward()
    learning = [parameter for parameter in network.parameters() if parameter.grad is not None]
    assert len(learning) == len(list(network.parameters())) - len(frozen)
