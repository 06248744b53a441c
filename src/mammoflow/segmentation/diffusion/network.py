"""The network of the diffusion of lesion crops: a small U-Net that is told the time, the mask and the malignancy.

Residual blocks with group normalisation and attention at the coarsest level, as in Ho et al., NeurIPS 2020, and Nichol
and Dhariwal, ICML 2021, but far smaller. With a width of 32 it has 1,851,009 parameters.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = (1, 2, 3, 3)
"""Channels of each level, the finest first, as multiples of the width."""

GROUPS, HEADS = 8, 4
LARGEST_PERIOD = 10_000.0
"""Of the sinusoids of the time, as in Vaswani et al., NeurIPS 2017."""

CLASSES = 3
"""Benign, malignant, unknown."""


def time_waves(times: Tensor, width: int) -> Tensor:
    """Return sines and cosines (N, width) of times (N,)."""
    steps = torch.arange(width // 2, device=times.device, dtype=torch.float32) / (width // 2)
    angles = times.float()[:, None] * torch.exp(-math.log(LARGEST_PERIOD) * steps)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Block(nn.Module):
    """Two convolutions with a shortcut; the condition shifts the channels between them."""

    def __init__(self, channels: int, out: int, condition: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(GROUPS, channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1))
        self.shift = nn.Linear(condition, out)
        self.second = nn.Sequential(nn.GroupNorm(GROUPS, out), nn.SiLU(), _zero_convolution(out, out))
        self.shortcut = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)

    def forward(self, values: Tensor, condition: Tensor) -> Tensor:
        """Return (N, out, rows, columns) of values (N, channels, rows, columns) and conditions (N, condition)."""
        shifted = self.first(values) + self.shift(condition)[:, :, None, None]
        result: Tensor = self.second(shifted) + self.shortcut(values)
        return result


class Attention(nn.Module):
    """Self-attention over all pixels of a map, added to it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.attention = nn.MultiheadAttention(channels, HEADS, batch_first=True)

    def forward(self, values: Tensor) -> Tensor:
        """Return (N, channels, rows, columns)."""
        tokens = self.norm(values).flatten(2).transpose(1, 2)
        attended = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        result: Tensor = values + attended.transpose(1, 2).reshape(values.shape)
        return result


class LesionUNet(nn.Module):
    """Predicts v of noisy crops.

    Parameters
    ----------
    width
        Channels of the finest level, a multiple of GROUPS.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        condition, widths = 4 * width, [width * level for level in LEVELS]
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, condition), nn.SiLU(), nn.Linear(condition, condition))
        self.classes = nn.Embedding(CLASSES, condition)
        self.entry = nn.Conv2d(2, width, 3, padding=1)
        self.down = nn.ModuleList(
            Block(before, out, condition) for before, out in zip([width, *widths], widths, strict=False)
        )
        self.smaller = nn.ModuleList(nn.Conv2d(out, out, 3, stride=2, padding=1) for out in widths[:-1])
        self.middle = nn.ModuleList(Block(widths[-1], widths[-1], condition) for _ in range(2))
        self.attention = Attention(widths[-1])
        self.larger = nn.ModuleList(
            nn.Conv2d(deep, out, 3, padding=1) for deep, out in zip(widths[1:], widths, strict=False)
        )
        self.up = nn.ModuleList(Block(2 * out, out, condition) for out in widths)
        self.exit = nn.Sequential(nn.GroupNorm(GROUPS, width), nn.SiLU(), _zero_convolution(width, 1))

    def forward(self, crops: Tensor, times: Tensor, masks: Tensor, classes: Tensor) -> Tensor:
        """Return the predicted v (N, 1, rows, columns).

        Parameters
        ----------
        crops, masks
            (N, 1, rows, columns): noisy levels, and the lesion as 0 and 1; rows and columns are multiples of 8.
        times, classes
            (N,): times of the process; 0 benign, 1 malignant, 2 unknown.
        """
        condition = functional.silu(self.time(time_waves(times, self.width)) + self.classes(classes))
        # the mask goes to -1 and 1, the range of the levels
        values = self.entry(torch.cat([crops, 2 * masks - 1], dim=1))
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            values = block(self.smaller[level - 1](values) if level else values, condition)
            skips.append(values)
        values = self.middle[0](values, condition)
        values = self.middle[1](self.attention(values), condition)
        for level in reversed(range(len(LEVELS))):
            if level + 1 < len(LEVELS):
                values = self.larger[level](functional.interpolate(values, scale_factor=2, mode="nearest"))
            values = self.up[level](torch.cat([values, skips[level]], dim=1), condition)
        predicted: Tensor = self.exit(values)
        return predicted


def _zero_convolution(channels: int, out: int) -> nn.Conv2d:
    """Return a 3 x 3 convolution whose output is 0 before training, so that a block begins as its shortcut."""
    convolution = nn.Conv2d(channels, out, 3, padding=1)
    nn.init.zeros_(convolution.weight)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution
