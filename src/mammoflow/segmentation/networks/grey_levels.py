"""How the grey levels of an image reach an automatic network, and an automatic model that does nothing else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.segmentation.protocol.automatic import AutomaticModel
from mammoflow.segmentation.protocol.segmenter import ImageSize
from mammoflow.storage.files import text_digest

CHANNELS = 3

BACKGROUND = 0.02
"""Grey levels up to this share of the largest are background."""

PERCENTILES = (1.0, 99.5)

LARGEST_LEVEL = 2.0
"""The foreground goes from minus this to this; the background is 0."""


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
        levels = LARGEST_LEVEL * (2 * shares - 1) * foreground
    return np.repeat(levels[None].astype(np.float32), CHANNELS, axis=0)


def unit_levels(levels: Tensor) -> Tensor:
    """Bring what `grey_channels` returned to 0..1, where the background is 0."""
    shares = (levels + LARGEST_LEVEL) / (2 * LARGEST_LEVEL)
    return torch.where(levels == 0, torch.zeros_like(shares), shares)


class GreyLevelModel(AutomaticModel):
    """A network on the grid of its `NetworkInput` that sees the grey levels of `grey_channels`.

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
        self.digest = text_digest(name, type(self).__name__, digest, "preprocessing 1")

    def preprocess(self, image: npt.NDArray[np.uint16]) -> Tensor:
        """Turn an image (rows, columns) on the network's grid into channels (3, rows, columns)."""
        return torch.from_numpy(grey_channels(image))

    def logits(self, batch: Tensor) -> Tensor:
        """Return lesion logits (images, 1, rows, columns) of inputs (images, 3, rows, columns)."""
        logits: Tensor = self.network(batch)
        return logits

    def upscale(self, logits: Tensor, size: ImageSize) -> Tensor:
        """Bring logits (N, M, rows, columns) to another size (N, M, height, width)."""
        if (int(logits.shape[-2]), int(logits.shape[-1])) == size:
            return logits
        return functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
