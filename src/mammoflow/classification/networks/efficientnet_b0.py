"""EfficientNet-B0 (Tan and Le, ICML 2019) of efficientnet-pytorch, without its last layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mammoflow.config.members import NoOptions
from mammoflow.config.weights import WeightsSource

if TYPE_CHECKING:
    from mammoflow.classification.network import Network

TAKES = "picture"
NETWORK_MB = 80
SAMPLE_MB = 28

# The publisher gives no checksum beside the digits in the file's name.
WEIGHTS = WeightsSource(
    "efficientnet-b0-355c32eb.pth",
    "https://github.com/lukemelas/EfficientNet-PyTorch/releases/download/1.0/efficientnet-b0-355c32eb.pth",
    "https://github.com/lukemelas/EfficientNet-PyTorch",
    "",
    "Apache-2.0",
    "EfficientNet-B0, ImageNet",
    frozenset({"objects.githubusercontent.com", "release-assets.githubusercontent.com"}),
)

WIDTH = 1280
"""Channels of the last feature map."""

BATCH_NORM_MOMENTUM = 0.9
"""Kept share of the running statistics at each step; the statistics of the training pictures replace them."""


def normalised_pixels(options: NoOptions, image_px: int) -> int:
    """Return the pixels of the smallest feature map with batch normalisation: five convolutions halve the picture."""
    return (image_px // 32) ** 2


def build(options: NoOptions, weights: Path | None, vectors: int) -> Network:
    """Build the network with random weights, or with weights from a file in the package's layout.

    Raises
    ------
    WeightsError
        If the file is missing, carries something other than tensors, or does not fit.
    """
    from efficientnet_pytorch import EfficientNet
    from torch import nn

    from mammoflow.classification.network import IMAGENET_LEVELS, PictureNetwork, load_weights

    backbone: nn.Module = EfficientNet.from_name(
        "efficientnet-b0", include_top=False, batch_norm_momentum=BATCH_NORM_MOMENTUM
    )
    # torch's own Swish gives the same values as the package's and takes two thirds of the time of a training step
    for module in backbone.modules():
        if hasattr(module, "_swish"):
            module._swish = nn.SiLU()
    if weights is not None:
        load_weights(backbone, weights, WEIGHTS, without=("_fc.",))
    return PictureNetwork(backbone, WIDTH, IMAGENET_LEVELS if weights else None)
