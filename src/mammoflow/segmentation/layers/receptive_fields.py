"""The decoder of SAM2-UNet: receptive-field blocks to one width, three upsampling stages, side outputs.

Xiong et al., SAM2-UNet, 2024 (Visual Intelligence 2026); receptive-field blocks after Liu et al., Receptive Field Block
Net, ECCV 2018. As in the published code, the convolutions of a block have batch normalisation and no activation; one
ReLU follows their sum.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.segmentation.layers.unet import two_convolutions

WIDTH = 64
REACHES = (3, 5, 7)
"""Sides of the long kernels, and dilations of the convolution that follows them."""


def _normalised(channels: int, out: int, kernel: tuple[int, int], dilation: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the size, and batch normalisation."""
    padding = (dilation * (kernel[0] // 2), dilation * (kernel[1] // 2))
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, padding=padding, dilation=dilation, bias=False), nn.BatchNorm2d(out)
    )


class ReceptiveFieldBlock(nn.Module):
    """Four branches with growing receptive fields, joined, and a residual.

    Parameters
    ----------
    channels, out
        Channels of the input and of the output.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        branches: list[nn.Module] = [_normalised(channels, out, (1, 1))]
        for reach in REACHES:
            branches.append(
                nn.Sequential(
                    _normalised(channels, out, (1, 1)),
                    _normalised(out, out, (1, reach)),
                    _normalised(out, out, (reach, 1)),
                    _normalised(out, out, (3, 3), dilation=reach),
                )
            )
        self.branches = nn.ModuleList(branches)
        self.join = _normalised(len(branches) * out, out, (3, 3))
        self.residual = _normalised(channels, out, (1, 1))

    def forward(self, values: Tensor) -> Tensor:
        """Return (N, out, rows, columns)."""
        joined = self.join(torch.cat([branch(values) for branch in self.branches], dim=1))
        return functional.relu(joined + self.residual(values))


class ReceptiveFieldDecoder(nn.Module):
    """Four maps at strides 4, 8, 16, 32 to logits at stride 4, with side outputs at 16 and 8 for training.

    Parameters
    ----------
    channels
        Of the four maps, the finest first.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ReceptiveFieldBlock(each, WIDTH) for each in channels)
        self.up = nn.ModuleList(two_convolutions(2 * WIDTH, WIDTH) for _ in channels[1:])
        self.heads = nn.ModuleList(nn.Conv2d(WIDTH, 1, 1) for _ in channels[1:])

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return logits (N, 1, rows, columns) at strides 16, 8 and 4; the last ones are the model's."""
        reduced = [block(values) for block, values in zip(self.blocks, maps, strict=True)]
        values, outputs = reduced[-1], []
        for skip, up, head in zip(reversed(reduced[:-1]), self.up, self.heads, strict=True):
            size = (int(skip.shape[-2]), int(skip.shape[-1]))
            larger = functional.interpolate(values, size=size, mode="bilinear", align_corners=True)
            values = up(torch.cat([skip, larger], dim=1))
            outputs.append(head(values))
        return outputs
