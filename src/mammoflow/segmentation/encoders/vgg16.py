"""VGG-16 as an encoder (Simonyan and Zisserman, ICLR 2015, configuration D), in the layout of torchvision."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from mammoflow.segmentation.encoders.interface import Encoder, below, without

LAYOUT: list[str | int] = list(cfgs["D"])
"""Widths of the convolutions; M is a max-pooling."""


class Vgg16Encoder(Encoder):
    """The convolutions of VGG-16; the maps are those after the second to the fifth max-pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.features = make_layers(LAYOUT)
        for module in self.features:
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)
        widths = [int(width) for width, after in pairwise(LAYOUT) if after == "M"]
        self.channels = widths[1], widths[2], widths[3], widths[4]

    def chosen_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the convolutions among the weights of the classifier."""
        return without(below(state, ("encoder.",)), ("classifier.",))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Return the maps after the max-poolings."""
        values, maps = pictures, []
        for layer in self.features:
            values = layer(values)
            if isinstance(layer, nn.MaxPool2d):
                maps.append(values)
        return maps[1:]
