"""VGG-16 (Simonyan and Zisserman, ICLR 2015, configuration D) in the layout of torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from mammoflow.config.base import Settings
from mammoflow.weights.sources.vgg16 import VGG16

if TYPE_CHECKING:
    from mammoflow.classification.network import Network

TAKES = "picture"
SAMPLE_MB = 36

WEIGHTS = VGG16

CHANNELS = 512
GRID = 7
DENSE = 4096


class Options(Settings):
    """Options of the network `vgg16`."""

    dense: bool = Field(
        False,
        description="Keep the two dense layers of 4,096 and their dropout, with 120 of 135 million weights; "
        "otherwise the 512 channels are averaged over the picture.",
    )


def network_mb(options: Options) -> int:
    """Return the megabytes of weights, gradients and the optimiser's state."""
    return 2200 if options.dense else 250


def build(options: Options, weights: Path | None, vectors: int) -> Network:
    """Build the network with random weights, or with weights from a file in torchvision's layout.

    Pictures of any size from 32 pixels on are taken: the last feature map is averaged to the grid that follows.

    Raises
    ------
    WeightsError
        If the file is missing, carries something other than tensors, or does not fit.
    """
    from collections import OrderedDict

    from torch import nn
    from torchvision.models.vgg import cfgs, make_layers

    from mammoflow.classification.network import IMAGENET_LEVELS, PictureNetwork, load_weights

    layers: OrderedDict[str, nn.Module] = OrderedDict(features=make_layers(cfgs["D"]))
    layers["avgpool"] = nn.AdaptiveAvgPool2d(GRID if options.dense else 1)
    if options.dense:
        layers["flatten"] = nn.Flatten()
        first = [nn.Linear(CHANNELS * GRID**2, DENSE), nn.ReLU(), nn.Dropout()]
        layers["classifier"] = nn.Sequential(*first, nn.Linear(DENSE, DENSE), nn.ReLU())
    backbone = nn.Sequential(layers)
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)
    if weights is not None:
        load_weights(backbone, weights, WEIGHTS, without=("classifier.6.",) if options.dense else ("classifier.",))
    return PictureNetwork(backbone, DENSE if options.dense else CHANNELS, IMAGENET_LEVELS if weights else None)
