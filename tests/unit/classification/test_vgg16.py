"""VGG-16 is torchvision's: parameters, layout of its weights file, and the same features for the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from torch import nn
from torchvision.models import vgg16 as torchvision_vgg16

from mammoflow.classification.networks import vgg16
from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import WeightsError
from mammoflow.planning.classifiers import job_memory_mb

PRESET = Path(__file__).parents[3] / "workflow" / "presets" / "vgg16.yaml"


def count(module: nn.Module) -> int:
    return sum(item.numel() for item in module.parameters())


def test_parameters_are_the_published_ones() -> None:
    with torch.device("meta"):
        features = count(vgg16.build(vgg16.Options(), None, 0))
        dense = count(vgg16.build(vgg16.Options(dense=True), None, 0))
        whole = count(torchvision_vgg16(weights=None))
        last_layer = count(nn.Linear(4096, 1000))
    assert features == 14_714_688
    assert dense + last_layer == whole == 138_357_544


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, nn.Module]:
    """A file laid out as torchvision's weights are, with random values, and the network that it is of.

    The dense layers have 64 outputs in place of 4,096: they hold 120 million weights, and the code is the same.
    """
    width = 64
    monkeypatch.setattr(vgg16, "DENSE", width)
    torch.manual_seed(0)
    with torch.device("meta"):
        network = torchvision_vgg16(weights=None)
    classifier = network.classifier
    for index, inputs, outputs in ((0, classifier[0].in_features, width), (3, width, width), (6, width, 1000)):
        classifier[index] = nn.Linear(inputs, outputs, device="meta")
    network = network.to_empty(device="cpu").eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.reset_parameters()
    path = tmp_path / "vgg16.pth"
    torch.save(network.state_dict(), path)
    return path, network


def test_features_are_those_of_torchvision_with_the_same_weights(published: tuple[Path, nn.Module]) -> None:
    path, upstream = published
    picture = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        channels = upstream.features(picture)
        pooled = vgg16.build(vgg16.Options(), path, 0).eval()({"picture": picture})
        torch.testing.assert_close(pooled, channels.mean(dim=(2, 3)), rtol=1e-3, atol=1e-6)
        dense = vgg16.build(vgg16.Options(dense=True), path, 0).eval()({"picture": picture})
        expected = upstream.classifier[:-1](upstream.avgpool(channels).flatten(1))
        torch.testing.assert_close(dense, expected, rtol=1e-3, atol=1e-6)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="do not fit VGG-16"):
        vgg16.build(vgg16.Options(), tmp_path / "other.pth", 0)


def test_the_preset_trains_it_and_its_memory_follows_from_its_options() -> None:
    values = yaml.safe_load(PRESET.read_text(encoding="utf-8"))
    config = validate_settings(StudyConfig, values, "the preset")
    assert config.classification.run == ["efficientnet_masked_crop", "vgg16_masked_crop"]
    pooled = job_memory_mb(config, "vgg16_masked_crop")
    values["classification"]["classifiers"]["vgg16_masked_crop"]["network_options"] = {"dense": True}
    assert job_memory_mb(validate_settings(StudyConfig, values, "dense"), "vgg16_masked_crop") == pooled + 1950
