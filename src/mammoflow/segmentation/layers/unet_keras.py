"""The U-Net that is usual in Keras: transposed convolutions, biases, no batch normalisation.

Ronneberger et al., MICCAI 2015, with convolutions that keep the size. With 64 channels at the finest level, one input
channel and one output it has 31,030,593 parameters, the 31.03 million of publications on breast ultrasound.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 5
STRIDE = 2 ** (LEVELS - 1)
"""Rows and columns of the input are multiples of this."""


def level(channels: int, out: int) -> nn.Sequential:
    """Return the two 3 x 3 convolutions of a level, each with ReLU."""
    first, second = nn.Conv2d(channels, out, 3, padding=1), nn.Conv2d(out, out, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True))


class KerasUNet(nn.Module):
    """Five levels with max-pooling on the way down and 2 x 2 transposed convolutions on the way up.

    Weights start as He et al. (ICCV 2015) draw them, from a normal distribution, and biases at 0. Without batch
    normalisation the deepest maps would otherwise fade.

    Parameters
    ----------
    channels
        Of the input.
    base_width
        Channels of the finest level; each deeper level has twice as many.
    outputs
        Logits for each pixel.
    """

    def __init__(self, channels: int = 1, base_width: int = 64, outputs: int = 1) -> None:
        super().__init__()
        widths = [base_width * 2**depth for depth in range(LEVELS)]
        self.down = nn.ModuleList(level(*pair) for pair in zip([channels, *widths], widths, strict=False))
        deeper = widths[1:]
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(*pair, kernel_size=2, stride=2) for pair in zip(deeper, widths, strict=False)
        )
        self.up = nn.ModuleList(level(2 * width, width) for width in widths[:-1])
        self.head = nn.Conv2d(base_width, outputs, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, values: Tensor) -> Tensor:
        """Return logits (N, outputs, rows, columns) of images (N, channels, rows, columns).

        Raises
        ------
        ValueError
            If rows or columns are no multiple of `STRIDE`.
        """
        rows, columns = values.shape[-2:]
        if rows % STRIDE or columns % STRIDE:
            raise ValueError(f"input is {rows} x {columns} pixels; expected multiples of {STRIDE}")
        skips = [self.down[0](values)]
        for block in list(self.down)[1:]:
            skips.append(block(functional.max_pool2d(skips[-1], 2)))
        deepest = skips.pop()
        for depth in reversed(range(LEVELS - 1)):
            joined = torch.cat([skips[depth], self.enlarge[depth](deepest)], dim=1)
            deepest = self.up[depth](joined)
        logits: Tensor = self.head(deepest)
        return logits
