"""The plain U-Net as an automatic model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from mammoflow.segmentation.layers.unet import UNet
from mammoflow.segmentation.protocol.automatic import AutomaticModel
from mammoflow.segmentation.protocol.segmenter import ImageSize
from mammoflow.storage.files import text_digest

CHANNELS = 3

BACKGROUND = 0.02
"""Grey levels up to this share of the largest are background."""

PERCENTILES = (1.0, 99.5)


def grey_channels(image: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """Return the input (CHANNELS, height, width) of an image (height, width).

    All channels are the same, because the published layout takes colour. The grey levels between two percentiles of
    the foreground go to -2..2; the background is 0.
    """
    grey = image.astype(np.float32)
    foreground = grey > BACKGROUND * float(grey.max(initial=1.0))
    levels = np.zeros_like(grey)
    if foreground.any():
        low, high = np.percentile(grey[foreground], PERCENTILES)
        levels = (4 * np.clip((grey - low) / max(float(high - low), 1.0), 0, 1) - 2) * foreground
    return np.repeat(levels[None].astype(np.float32), CHANNELS, axis=0)


class UNetModel(AutomaticModel):
    """The plain U-Net on the grid of its `NetworkInput`.

    Parameters
    ----------
    name
        The model's name in the configuration.
    network
        The U-Net.
    digest
        Digest of the weights; the preprocessing's is added.
    """

    network: UNet

    def __init__(self, name: str, network: UNet, digest: str) -> None:
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
