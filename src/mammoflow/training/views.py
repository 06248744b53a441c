"""Views of unlabelled inputs: noise, strong changes of grey levels, CutMix, and dropped features.

All random numbers come from torch's generator, which has a seed of its own in each epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

CONTRASTS = (0.5, 1.5)
LARGEST_SHIFT = 0.5
"""Of brightness, as a share of the standard deviation of a sample."""

STRONG_NOISE = 0.2
"""Largest standard deviation of the noise of a strong view, as a share of that of a sample."""

BLUR_SHARE = 0.5
DROPPED_NUMBERS = 0.1
"""Share of the numbers of a vector that a strong view replaces by their mean over the batch."""

MIX_AREAS = (0.02, 0.4)
MIX_SHAPES = (0.3, 1 / 0.3)
"""Area of a CutMix rectangle as a share of the picture, and its height by its width (Yun et al., ICCV 2019)."""


def _deviation(values: Tensor) -> Tensor:
    """Return the standard deviation of each sample over what is not 0, of a shape that goes with the samples."""
    axes = tuple(range(1, values.dim()))
    inside = (values != 0).to(values.dtype)
    count = inside.sum(dim=axes, keepdim=True).clamp(min=1)
    mean = values.sum(dim=axes, keepdim=True) / count
    squares = ((values - mean).square() * inside).sum(dim=axes, keepdim=True)
    return (squares / count).sqrt()


def noisy(values: Tensor, noise: float) -> Tensor:
    """Add normal noise, cut at twice its deviation; a value that is 0 is background and stays so.

    Parameters
    ----------
    values
        (n, ...): pictures or vectors.
    noise
        Standard deviation as a share of that of the sample, or of the batch for vectors of one number.
    """
    deviation = _deviation(values) if values[0].numel() > 1 else values.std(unbiased=False)
    drawn = (torch.randn_like(values) * noise).clamp(-2 * noise, 2 * noise)
    return torch.where(values == 0, values, values + drawn * deviation)


def strong_view(values: Tensor) -> Tensor:
    """Change the grey levels of pictures strongly, or the numbers of vectors; no pixel moves.

    Pictures (n, ..., rows, columns) change in contrast, brightness, noise and, every second one, by a blur; pixels that
    are 0 are background and stay so. Numbers of vectors (n, numbers) get noise, and some take the mean of the batch.
    """
    if values.dim() < 4:
        dropped = torch.rand(values.shape, device=values.device) < DROPPED_NUMBERS
        return torch.where(dropped, values.mean(dim=0, keepdim=True), noisy(values, STRONG_NOISE))
    shape = (len(values), *([1] * (values.dim() - 1)))
    drawn = torch.rand((4, *shape), device=values.device, dtype=values.dtype)
    inside = values != 0
    count = inside.sum(dim=tuple(range(1, values.dim())), keepdim=True).clamp(min=1)
    mean = values.sum(dim=tuple(range(1, values.dim())), keepdim=True) / count
    deviation = _deviation(values)
    contrast = CONTRASTS[0] + (CONTRASTS[1] - CONTRASTS[0]) * drawn[0]
    changed = mean + (values - mean) * contrast + (2 * drawn[1] - 1) * LARGEST_SHIFT * deviation
    changed = changed + torch.randn_like(values) * STRONG_NOISE * drawn[2] * deviation
    flat = changed.flatten(0, -3)[None]  # every channel by itself
    blurred = functional.avg_pool2d(functional.pad(flat, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    changed = torch.where(drawn[3] < BLUR_SHARE, blurred[0].reshape(values.shape), changed)
    return torch.where(inside, changed, values)


@dataclass(frozen=True)
class Mix:
    """One CutMix of a batch: a rectangle of each picture comes from another picture of the batch.

    Attributes
    ----------
    inside
        (n, 1, rows, columns): the rectangles.
    partner
        (n,): which picture each rectangle comes from.
    """

    inside: Tensor
    partner: Tensor

    @classmethod
    def drawn(cls, like: Tensor, generator: torch.Generator | None = None) -> Mix:
        """Draw rectangles and partners for pictures or maps (n, channels, rows, columns)."""
        number, rows, columns = len(like), int(like.shape[-2]), int(like.shape[-1])
        draws = torch.rand((number, 4), generator=generator)
        area = MIX_AREAS[0] + (MIX_AREAS[1] - MIX_AREAS[0]) * draws[:, 0]
        shape = MIX_SHAPES[0] * (MIX_SHAPES[1] / MIX_SHAPES[0]) ** draws[:, 1]
        height = ((area * shape).sqrt() * rows).round().clamp(1, rows)
        width = ((area / shape).sqrt() * columns).round().clamp(1, columns)
        top = (draws[:, 2] * (rows - height + 1)).floor()
        left = (draws[:, 3] * (columns - width + 1)).floor()
        y, x = torch.arange(rows)[None, :, None], torch.arange(columns)[None, None, :]
        first, second = top[:, None, None], left[:, None, None]
        inside = (
            (y >= first) & (y < first + height[:, None, None]) & (x >= second) & (x < second + width[:, None, None])
        )
        return cls(inside[:, None].to(like.device), torch.randperm(number, generator=generator).to(like.device))

    def __call__(self, values: Tensor) -> Tensor:
        """Return pictures, targets or masks (n, channels, rows, columns) with the rectangles of their partners."""
        return torch.where(self.inside, values[self.partner], values)


@contextmanager
def dropped_features(encoder: nn.Module, share: float) -> Iterator[None]:
    """Set a share of the channels of what a module returns to 0 at random, for a while; 0 changes nothing.

    Parameters
    ----------
    encoder
        Returns features (n, channels, ...).
    share
        Of the channels; the others are enlarged, so that the mean stays.
    """
    if not share:
        yield
        return

    def drop(_module: nn.Module, _inputs: object, features: Tensor) -> Tensor:
        kept = torch.rand(features.shape[:2], device=features.device) >= share
        factor = kept.to(features.dtype) / (1 - share)
        return features * factor.reshape(*features.shape[:2], *([1] * (features.dim() - 2)))

    handle = encoder.register_forward_hook(drop)
    try:
        yield
    finally:
        handle.remove()
