"""Every classifier network: what its module declares, what it gives for a batch, and that it resumes bit for bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models import vgg

from mammoflow.classification.batches import Batch
from mammoflow.classification.learner import ClassifierLearner
from mammoflow.classification.network import Network
from mammoflow.config.classification import NETWORKS
from mammoflow.config.weights import WeightsSource
from mammoflow.run.provenance import code_modules

INPUTS_OF = {"picture": "masked_crop", "vector": "prompted"}
NUMBERS = 12
SIDE = 32
SAMPLES = 5


@pytest.fixture(params=NETWORKS.names())
def network(request: pytest.FixtureRequest) -> str:
    """Return the name of one network after the other."""
    return str(request.param)


def build(name: str) -> Network:
    torch.manual_seed(0)
    built = NETWORKS.load(name).build(NETWORKS.options(name)(), None, NUMBERS)
    assert isinstance(built, Network)
    return built


def batch_of(name: str) -> dict[str, Tensor]:
    shape = {"picture": (1, SIDE, SIDE), "vector": (NUMBERS,)}[NETWORKS.load(name).TAKES]
    tensor = torch.rand(SAMPLES, *shape, generator=torch.Generator().manual_seed(1))
    return {NETWORKS.load(name).TAKES: tensor.requires_grad_()}  # `linear` has no parameters of its own


def test_top_level_says_what_the_network_takes_and_needs(network: str) -> None:
    member = NETWORKS.load(network)
    assert member.TAKES in INPUTS_OF
    assert member.WEIGHTS is None or isinstance(member.WEIGHTS, WeightsSource)
    options = NETWORKS.options(network)()
    assert (member.network_mb(options) if hasattr(member, "network_mb") else member.NETWORK_MB) > 0
    assert member.SAMPLE_MB > 0


def test_no_network_loads_what_it_computes_with() -> None:
    modules = ", ".join(NETWORKS.module(name) for name in NETWORKS.names())
    code = f"import sys, {modules}; print(sorted(set(sys.modules) & {{'torch', 'pandas', 'cv2', 'torchvision'}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_knows_nothing_of_the_study(network: str) -> None:
    modules = code_modules(NETWORKS.module(network))
    for name in ("cases", "samples", "stage", "learner", "results"):
        assert f"mammoflow.classification.{name}" not in modules


def test_a_batch_gives_its_features(network: str) -> None:
    built = build(network)
    features = built(batch_of(network))
    assert features.shape == (SAMPLES, built.width)
    assert torch.isfinite(features).all()
    features.square().sum().backward()
    assert all(item.grad is not None for item in built.parameters() if item.requires_grad)


def test_features_of_a_sample_do_not_depend_on_its_batch_in_evaluation(network: str) -> None:
    built, inputs = build(network).eval(), batch_of(network)
    with torch.inference_mode():
        together = built(inputs)
        alone = torch.cat([built({name: tensor[row : row + 1] for name, tensor in inputs.items()}) for row in range(5)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_it_is_built_from_the_generator_of_torch_alone(network: str) -> None:
    one, other = build(network).state_dict(), build(network).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def _narrow_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give VGG-16 layers of 8 channels before its last one: writing 15 million weights takes most of its training."""
    layers = vgg.cfgs["D"]
    last = max(index for index, layer in enumerate(layers) if layer != "M")
    narrow = [8 if layer != "M" and index != last else layer for index, layer in enumerate(layers)]
    monkeypatch.setitem(vgg.cfgs, "D", narrow)


@pytest.mark.usefixtures("fake_model", "_narrow_layers")
def test_a_killed_training_ends_with_the_same_weights(
    network: str, tiny: ModuleType, tiny_study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        "input": INPUTS_OF[NETWORKS.load(network).TAKES],
        "network": network,
        "epochs": 2,
        "batch_size": 8,
        "device": "cpu",
    }
    options = {"input_options": {"image_px": SIDE}} if NETWORKS.load(network).TAKES == "picture" else {}
    whole = tiny.train(tiny_study, {**values, **options}, "whole")
    plain = ClassifierLearner.loss

    def die(learner: ClassifierLearner, batch: Batch, epoch: int, step: int) -> Tensor:
        if epoch == 1 and step == 1:
            raise KeyboardInterrupt
        return plain(learner, batch, epoch, step)

    monkeypatch.setattr(ClassifierLearner, "loss", die)
    with pytest.raises(KeyboardInterrupt):
        tiny.train(tiny_study, {**values, **options}, "killed")
    monkeypatch.setattr(ClassifierLearner, "loss", plain)
    tiny.assert_same_training(whole, tiny.train(tiny_study, {**values, **options}, "killed"), resumed_from=1)


def test_a_network_of_pictures_takes_other_sizes(network: str) -> None:
    if NETWORKS.load(network).TAKES != "picture":
        pytest.skip("takes vectors")
    built = build(network).eval()
    with torch.inference_mode():
        assert built({"picture": torch.rand(1, 1, 64, 64)}).shape == (1, built.width)
        assert built({"picture": torch.rand(1, 3, SIDE, SIDE)}).shape == (1, built.width)


def test_published_weights_can_be_named(network: str, tmp_path: Path) -> None:
    if NETWORKS.load(network).WEIGHTS is None:
        pytest.skip("starts from random weights")
    with pytest.raises(Exception, match=r"none\.pth does not exist"):
        NETWORKS.load(network).build(NETWORKS.options(network)(), tmp_path / "none.pth", 0)
