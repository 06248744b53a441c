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
    features = count(vgg16.build(vgg16.Options(), None, 0))
    assert features == 14_714_688
    with torch.device("meta"):
        dense = count(vgg16.build(vgg16.Options(dense=True), None, 0))
        whole = count(torchvision_vgg16(weights=None))
        last_layer = count(nn.Linear(4096, 1000))
    assert dense + last_layer == whole == 138_357_544


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    """A file laid out as torchvision's weights are, with random values, and the network that it is of."""
    torch.manual_seed(0)
    network = torchvision_vgg16(weights=None, init_weights=False).eval()
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
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
