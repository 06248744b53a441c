"""ResNet as an encoder (He et al., CVPR 2016), in the layout of torchvision."""

from __future__ import annotations

import torchvision.models
from torch import Tensor

from mammoflow.segmentation.encoders.interface import Encoder, below, without

STAGES = ("layer1", "layer2", "layer3", "layer4")


class ResNetEncoder(Encoder):
    """The four stages of a ResNet.

    Parameters
    ----------
    depth
        Number of layers with weights: 18, 34, 50, 101 or 152.
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        whole = torchvision.models.get_model(f"resnet{depth}", weights=None)
        for name in ("conv1", "bn1", "relu", "maxpool", *STAGES):
            self.add_module(name, getattr(whole, name))
        width = whole.fc.in_features
        self.channels = width // 8, width // 4, width // 2, width

    def chosen_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the stages among the weights of the classifier."""
        return without(below(state, ("encoder.",)), ("fc.",))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Return the output of each stage."""
        values = pictures
        for name in ("conv1", "bn1", "relu", "maxpool"):
            values = self.get_submodule(name)(values)
        maps = []
        for name in STAGES:
            values = self.get_submodule(name)(values)
            maps.append(values)
        return maps
