"""The plain U-Net, in the layout that mmsegmentation calls UNet-S5-D16.

Ronneberger et al., MICCAI 2015, with batch normalisation, convolutions that keep the size, and bilinear upsampling; the
layout and the head are those of mmsegmentation's `fcn_unet_s5-d16`. With 64 channels at the finest level, three input
channels and one output it has 28,986,625 parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

STAGES = 5
STRIDE = 2 ** (STAGES - 1)
"""Rows and columns of the input are multiples of this."""

DROPOUT = 0.1


def convolution(channels: int, out: int, kernel: int = 3) -> nn.Sequential:
    """Return a convolution that keeps the size, batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
    )


def two_convolutions(channels: int, out: int) -> nn.Sequential:
    """Return the two 3 x 3 convolutions of a stage."""
    return nn.Sequential(convolution(channels, out), convolution(out, out))


class UNet(nn.Module):
    """Encoder of five stages with max-pooling between them, decoder of four stages with skips, one-convolution head.

    Parameters
    ----------
    channels
        Of the input.
    base_width
        Channels of the finest stage; each deeper stage has twice as many.
    outputs
        Logits for each pixel.
    """

    def __init__(self, channels: int = 3, base_width: int = 64, outputs: int = 1) -> None:
        super().__init__()
        widths = [base_width * 2**stage for stage in range(STAGES)]
        self.down = nn.ModuleList(
            two_convolutions(before, width) for before, width in zip([channels, *widths], widths, strict=False)
        )
        pairs = list(zip(widths[1:], widths, strict=False))
        self.reduce = nn.ModuleList(convolution(deep, width, kernel=1) for deep, width in pairs)
        self.up = nn.ModuleList(two_convolutions(2 * width, width) for _, width in pairs)
        self.head = nn.Sequential(
            convolution(base_width, base_width), nn.Dropout2d(DROPOUT), nn.Conv2d(base_width, outputs, 1)
        )

    def forward(self, values: Tensor) -> Tensor:
        """Return logits (N, outputs, rows, columns) of images (N, channels, rows, columns).

        Raises
        ------
        ValueError
            If rows or columns are no multiple of `STRIDE`.
        """
        if values.shape[-2] % STRIDE or values.shape[-1] % STRIDE:
            raise ValueError(f"input is {tuple(values.shape)}; expected rows and columns to be multiples of {STRIDE}")
        skips: list[Tensor] = []
        for stage, block in enumerate(self.down):
            values = block(functional.max_pool2d(values, 2) if stage else values)
            skips.append(values)
        for stage in reversed(range(STAGES - 1)):
            larger = functional.interpolate(values, scale_factor=2, mode="bilinear", align_corners=False)
            values = self.up[stage](torch.cat([skips[stage], self.reduce[stage](larger)], dim=1))
        logits: Tensor = self.head(values)
        return logits
