"""A small residual network for CPUs: a stem and four stages of basic blocks (He et al., CVPR 2016), 0.7 M weights."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mammoflow.config.base import Settings

if TYPE_CHECKING:
    from torch import nn

    from mammoflow.classification.network import Network

TAKES = "picture"
SAMPLE_MB = 6
WEIGHTS = None

STAGES = 4
GROUP_CHANNELS = 8
"""Channels of a group of group normalisation."""


class Options(Settings):
    """Options of the network `resnet_small`."""

    width: int = Field(
        16, ge=8, le=128, multiple_of=8, description="Channels of the first stage; each stage doubles them."
    )
    blocks: int = Field(2, ge=1, le=6, description="Residual blocks of each stage.")
    norm: Literal["batch", "group"] = Field(
        "batch",
        description="Normalisation over the batch, or over groups of 8 channels of each picture.",
    )


def network_mb(options: Options) -> int:
    """Return the megabytes of weights, gradients and the optimiser's state."""
    weights = 24 * 9 * options.blocks * sum((options.width << stage) ** 2 for stage in range(STAGES))
    return 5 + 16 * weights // 10**7


def normalised_pixels(options: Options, image_px: int) -> int | None:
    """Return the pixels of the smallest feature map with batch normalisation; None where groups are normalised."""
    return math.ceil(image_px / 2 ** (STAGES + 1)) ** 2 if options.norm == "batch" else None


def build(options: Options, weights: Path | None, vectors: int) -> Network:
    """Build the network with random weights; the stem and each stage halve the picture."""
    from torch import nn
    from torch.nn.functional import relu

    from mammoflow.classification.network import PictureNetwork

    def norm(channels: int) -> nn.Module:
        return (
            nn.BatchNorm2d(channels) if options.norm == "batch" else nn.GroupNorm(channels // GROUP_CHANNELS, channels)
        )

    class Block(nn.Module):
        """Two convolutions and a shortcut; the last normalisation starts at 0, so a block starts as its shortcut."""

        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
            self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
            self.first_norm, self.second_norm = norm(after), norm(after)
            self.shortcut: nn.Module = nn.Identity()
            if stride > 1 or before != after:
                self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), norm(after))
            for weight in islice(self.second_norm.parameters(), 1):
                nn.init.zeros_(weight)

        def forward(self, features):  # type: ignore[no-untyped-def]
            inner = relu(self.first_norm(self.first(features)))
            return relu(self.shortcut(features) + self.second_norm(self.second(inner)))

    layers: list[nn.Module] = [nn.Conv2d(3, options.width, 3, 2, 1, bias=False), norm(options.width), nn.ReLU()]
    before = options.width
    for stage in range(STAGES):
        after = options.width * 2**stage
        for block in range(options.blocks):
            layers.append(Block(before, after, 2 if block == 0 else 1))
            before = after
    backbone = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return PictureNetwork(backbone, before, levels=None)
