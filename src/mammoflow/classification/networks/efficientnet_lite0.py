"""EfficientNet-Lite0: B0 with ReLU6 and without squeeze and excitation; packages bring it and its ImageNet weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from mammoflow.config.base import Settings
from mammoflow.weights.sources.efficientnet_lite0 import EFFICIENTNET_LITE0

if TYPE_CHECKING:
    from mammoflow.classification.network import Network

TAKES = "picture"
NETWORK_MB = 80
SAMPLE_MB = 32

WEIGHTS = EFFICIENTNET_LITE0

WIDTH = 1280
"""Channels of the last feature map."""

LEVELS = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Mean and deviation of the pictures that the weights were trained on, in 0..1."""

BATCH_NORM_MOMENTUM = 0.9
"""Kept share of the running statistics at each step; the statistics of the training pictures replace them."""


class Options(Settings):
    """Options of the network `efficientnet_lite0`."""

    frozen_blocks: int = Field(
        0,
        ge=0,
        le=15,
        description="Number of first blocks, of 16, that keep their weights, together with the layers before them; 0 "
        "trains all. They have the largest feature maps, so a training step takes a third less time with "
        "3.",
    )


def normalised_pixels(options: Options, image_px: int) -> int:
    """Return the pixels of the smallest feature map with batch normalisation: five convolutions halve the picture."""
    return math.ceil(image_px / 32) ** 2


def build(options: Options, weights: Path | None, vectors: int) -> Network:
    """Build the network with random weights, or with weights from a file in the package's layout.

    Padding is TensorFlow's `SAME` for pictures of every size, as in the training of the published weights.

    Raises
    ------
    WeightsError
        If the file is missing, carries something other than tensors, or does not fit.
    """
    from efficientnet_lite_pytorch import EfficientNet
    from torch import nn

    from mammoflow.classification.network import PictureNetwork, load_weights

    backbone: nn.Module = EfficientNet.from_name(
        "efficientnet-lite0", image_size=None, dropout_rate=0.0, batch_norm_momentum=BATCH_NORM_MOMENTUM
    )
    backbone._fc = nn.Identity()
    if options.frozen_blocks:
        blocks = list(backbone.get_submodule("_blocks").children())
        for part in (backbone._conv_stem, backbone._bn0, *blocks[: options.frozen_blocks]):
            part.requires_grad_(False)
    if weights is not None:
        load_weights(backbone, weights, WEIGHTS, without=("_fc.",))
    return PictureNetwork(backbone, WIDTH, LEVELS if weights else None)
