"""Encoder and decoder of an automatic network, for trainers that look at the features between them.

Ronneberger's U-Net is the one network that is known here. A further decoder has the layers of the network's own with
new weights, and upsamples in another way (Wu et al., Mutual Consistency Learning, Medical Image Analysis 2022).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.errors import ConfigError
from mammoflow.segmentation.layers.unet import UNet


def encoded(network: UNet, values: Tensor) -> list[Tensor]:
    """Return the features of each stage of a U-Net, the finest first, for inputs (N, channels, rows, columns)."""
    stages: list[Tensor] = []
    for stage, block in enumerate(network.down):
        values = block(functional.max_pool2d(values, 2) if stage else values)
        stages.append(values)
    return stages


class Decoder(nn.Module):
    """A decoder of a U-Net that upsamples in a way of its own.

    Parameters
    ----------
    network
        The U-Net whose layers are copied; the copies have new random weights.
    upsampling
        `transposed` (a convolution of 2 x 2 with stride 2), `bilinear` or `nearest`.
    """

    def __init__(self, network: UNet, upsampling: str) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.reduce, self.up, self.head = (copy.deepcopy(part) for part in (network.reduce, network.up, network.head))
        self.larger = nn.ModuleList()
        if upsampling == "transposed":
            widths = [int(part[0].in_channels) for part in network.reduce]  # type: ignore[index]
            self.larger.extend(nn.ConvTranspose2d(width, width, 2, stride=2) for width in widths)
        for module in self.modules():
            if module is not self and callable(reset := getattr(module, "reset_parameters", None)):
                reset()

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Return logits (N, outputs, rows, columns) of the features of each stage."""
        return _decoded(self, stages, self._enlarged)

    def _enlarged(self, values: Tensor, stage: int) -> Tensor:
        if self.upsampling == "transposed":
            enlarged: Tensor = self.larger[stage](values)
            return enlarged
        if self.upsampling == "nearest":
            return functional.interpolate(values, scale_factor=2, mode="nearest")
        return _bilinear(values, stage)


def decoded_by_network(network: UNet, stages: Sequence[Tensor]) -> Tensor:
    """Return logits of the features of each stage by the network's own decoder, as the network computes them."""
    return _decoded(network, stages, _bilinear)


def _decoded(parts: UNet | Decoder, stages: Sequence[Tensor], enlarge: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Go from the coarsest stage to the finest one, then through the head."""
    values = stages[-1]
    for stage in reversed(range(len(stages) - 1)):
        values = parts.up[stage](torch.cat([stages[stage], parts.reduce[stage](enlarge(values, stage))], dim=1))
    logits: Tensor = parts.head(values)
    return logits


def _bilinear(values: Tensor, _stage: int) -> Tensor:
    return functional.interpolate(values, scale_factor=2, mode="bilinear", align_corners=False)


def known_parts(network: nn.Module, trainer: str) -> UNet:
    """Return a network whose encoder and decoder are known here.

    Parameters
    ----------
    network
        Any network.
    trainer
        What needs the parts, for the message.

    Raises
    ------
    ConfigError
        If they are not known.
    """
    if not isinstance(network, UNet):
        raise ConfigError(
            f"{trainer} needs the features between encoder and decoder, but the network {type(network).__name__} does "
            "not offer them; expected the architecture unet or unet_16, or another trainer, such as "
            "cross_pseudo_supervision"
        )
    return network


def dropped(stages: Sequence[Tensor], share: float) -> list[Tensor]:
    """Return the features of each stage with a share of the channels set to 0 at random."""
    return [functional.dropout2d(values, share) for values in stages]
