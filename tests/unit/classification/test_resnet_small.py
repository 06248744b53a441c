"""The small residual network: its size, its normalisation, and that a block starts as its shortcut."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mammoflow.classification.networks import resnet_small


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_the_default_has_less_than_a_million_weights(norm: str) -> None:
    options = resnet_small.Options(norm=norm)  # type: ignore[arg-type]
    network = resnet_small.build(options, None, 0)
    count = sum(item.numel() for item in network.parameters())
    assert 600_000 < count < 800_000
    kinds = {"batch": nn.BatchNorm2d, "group": nn.GroupNorm}
    assert any(isinstance(module, kinds[norm]) for module in network.modules())
    assert not any(isinstance(module, kinds["group" if norm == "batch" else "batch"]) for module in network.modules())


def test_width_and_blocks_change_it() -> None:
    narrow = resnet_small.build(resnet_small.Options(width=8, blocks=1), None, 0).eval()
    assert narrow.width == 64
    assert narrow({"picture": torch.rand(2, 1, 64, 64)}).shape == (2, 64)
    large = resnet_small.Options(width=64, blocks=4)
    assert resnet_small.network_mb(large) > 5 * resnet_small.network_mb(resnet_small.Options())
    weights = sum(item.numel() for item in resnet_small.build(large, None, 0).parameters())
    assert resnet_small.network_mb(large) > 16 * weights / 1e6


def test_a_block_without_a_change_of_size_starts_as_its_shortcut() -> None:
    network = resnet_small.build(resnet_small.Options(blocks=2), None, 0).eval()
    block = network.backbone[4]  # type: ignore[index]
    features = torch.rand(2, 16, 8, 8)
    torch.testing.assert_close(block(features), features)
