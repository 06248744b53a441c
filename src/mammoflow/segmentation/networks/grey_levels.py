"""How the levels of an image reach an automatic network, and an automatic model that does nothing else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.segmentation.protocol.automatic import AutomaticModel
from mammoflow.segmentation.protocol.network_input import BACKGROUND
from mammoflow.segmentation.protocol.segmenter import ImageSize
from mammoflow.storage.files import text_digest

CHANNELS = 3

PERCENTILES = (1.0, 99.5)

LARGEST_LEVEL = 2.0
"""The foreground goes from minus this to this; the background is 0."""

NOT_BACKGROUND = 1e-6
"""Level of a pixel of the foreground that would be 0."""


def grey_channels(image: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """Return the input (CHANNELS, height, width) of an image (height, width).

    All channels are the same, because the published layouts take colour. The grey levels between two percentiles of
    the foreground go to -2..2; the background is 0.
    """
    grey = image.astype(np.float32)
    foreground = grey > BACKGROUND * float(grey.max(initial=1.0))
    levels = np.zeros_like(grey)
    if foreground.any():
        low, high = np.percentile(grey[foreground], PERCENTILES)
        shares = np.clip((grey - low) / max(float(high - low), 1.0), 0, 1)
        levels = LARGEST_LEVEL * (2 * shares - 1)
        levels[levels == 0] = NOT_BACKGROUND  # pictures of 8 bits often have a level in the middle of the range
        levels *= foreground
    return np.repeat(levels[None].astype(np.float32), CHANNELS, axis=0)


def colour_channels(image: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """Return the input (CHANNELS, height, width) of an image (height, width, CHANNELS) in colours.

    All channels are stretched alike, between percentiles of the foreground's levels in all of them, so that hues stay.
    Three equal channels give what `grey_channels` gives, up to the interpolation of percentiles.
    """
    colours = np.moveaxis(image, -1, 0).astype(np.float32)
    brightest = colours.max(axis=0)
    foreground = brightest > BACKGROUND * float(brightest.max(initial=1.0))
    if not foreground.any():
        return np.zeros_like(colours)
    low, high = np.percentile(colours[:, foreground], PERCENTILES)
    levels = LARGEST_LEVEL * (2 * np.clip((colours - low) / max(float(high - low), 1.0), 0, 1) - 1)
    levels[levels == 0] = NOT_BACKGROUND  # one channel of a pixel is often in the middle of the range
    return np.asarray(levels * foreground, dtype=np.float32)


def unit_levels(levels: Tensor) -> Tensor:
    """Bring what `grey_channels` returned to 0..1, where the background is 0."""
    shares = (levels + LARGEST_LEVEL) / (2 * LARGEST_LEVEL)
    return torch.where(levels == 0, torch.zeros_like(shares), shares)


class GreyLevelModel(AutomaticModel):
    """A network on the grid of its `NetworkInput` that sees what `grey_channels` or `colour_channels` gives.

    Parameters
    ----------
    name
        The model's name in the configuration.
    network
        Inputs (N, 3, rows, columns) to logits (N, 1, rows, columns).
    digest
        Digest of the weights; the preprocessing's is added.
    """

    def __init__(self, name: str, network: nn.Module, digest: str) -> None:
        self.name = name
        self.network = network
        self.digest = text_digest(name, type(self).__name__, digest, "preprocessing 2")

    def preprocess(self, image: npt.NDArray[np.uint16]) -> Tensor:
        """Turn an image (rows, columns[, 3]) on the network's grid into channels (3, rows, columns)."""
        return torch.from_numpy(grey_channels(image) if image.ndim == 2 else colour_channels(image))

    def logits(self, batch: Tensor) -> Tensor:
        """Return lesion logits (images, 1, rows, columns) of inputs (images, 3, rows, columns)."""
        logits: Tensor = self.network(batch)
        return logits

    def upscale(self, logits: Tensor, size: ImageSize) -> Tensor:
        """Bring logits (N, M, rows, columns) to another size (N, M, height, width)."""
        if (int(logits.shape[-2]), int(logits.shape[-1])) == size:
            return logits
        return functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
