"""Noising and denoising: a cosine schedule, the target v, and deterministic sampling in few steps.

Ho et al., Denoising Diffusion Probabilistic Models, NeurIPS 2020; the cosine schedule of Nichol and Dhariwal, Improved
DDPM, ICML 2021; DDIM of Song et al., ICLR 2021; the target v of Salimans and Ho, ICLR 2022. v stays finite where an
image is all noise, so the first of few steps needs no division by a number near 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

TIMES = 1000
"""Times of the process; 0 has almost no noise, the last one is almost noise alone."""

OFFSET, LARGEST_BETA = 0.008, 0.999
"""Of the cosine schedule."""

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""Noisy images (N, 1, rows, columns) and times (N,) to the predicted v of the same shape."""


def signal_shares() -> Tensor:
    """Return the share of the signal's variance (TIMES,) at each time, alpha-bar of Ho et al.; it falls."""
    steps = torch.arange(TIMES + 1, dtype=torch.float64) / TIMES
    curve = torch.cos((steps + OFFSET) / (1 + OFFSET) * math.pi / 2) ** 2
    betas = (1 - curve[1:] / curve[:-1]).clamp(max=LARGEST_BETA)
    return torch.cumprod(1 - betas, dim=0).float()


def noised(images: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """Return images at some times: mean sqrt(share) x image, variance 1 - share.

    Parameters
    ----------
    images, noise
        (N, 1, rows, columns); the noise is standard normal.
    times
        (N,) from 0 to TIMES - 1.
    """
    signal, spread = _scales(times, images)
    return signal * images + spread * noise


def target(images: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """Return what the network learns to predict, v = sqrt(share) noise - sqrt(1 - share) image; arguments as above."""
    signal, spread = _scales(times, images)
    return signal * noise - spread * images


@torch.no_grad()
def sampled(denoiser: Denoiser, noise: Tensor, steps: int, largest: float | None = 1.0) -> Tensor:
    """Turn noise into images along a deterministic path (DDIM with eta = 0).

    Parameters
    ----------
    denoiser
        Predicts v.
    noise
        (N, 1, rows, columns), standard normal.
    steps
        Number of predictions, from the last time to the first.
    largest
        Predicted images are clipped to minus this and this; None leaves them.

    Returns
    -------
    Tensor
        (N, 1, rows, columns).
    """
    values = noise
    times = torch.linspace(TIMES - 1, 0, steps).round().long().tolist()
    for place, time in enumerate(times):
        now = torch.full((len(values),), time, device=values.device)
        signal, spread = _scales(now, values)
        images = signal * values - spread * denoiser(values, now)
        if largest is not None:
            images = images.clamp(-largest, largest)
        if place + 1 == len(times):
            return images
        # the noise of the clipped image, so that the next value lies on a path through it
        residual = (values - signal * images) / spread
        signal, spread = _scales(torch.full_like(now, times[place + 1]), values)
        values = signal * images + spread * residual
    return values


def _scales(times: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factors (N, 1, 1, 1) of image and noise at some times."""
    shares = signal_shares().to(like.device)[times].view(-1, 1, 1, 1)
    return shares.sqrt(), (1 - shares).sqrt()
