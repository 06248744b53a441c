"""Crops of a picture that its saliency map chooses, joined by attention: learning from labels of whole images.

In the manner of GMIC (Shen et al., Medical Image Analysis 2021), with small networks; see docs/few-labels.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from mammoflow.config.base import Settings

if TYPE_CHECKING:
    from mammoflow.classification.network import Network

TAKES = "picture"
SAMPLE_MB = 12
WEIGHTS = None
TWO_CLASSES = True
"""Its own loss is the binary cross entropy of its saliency map."""


class Options(Settings):
    """Options of the network `attention_crops`."""

    width: int = Field(16, ge=8, le=128, multiple_of=8, description="Channels of the first of four stages.")
    crops: int = Field(4, ge=1, le=16, description="Crops of a picture.")
    crop_share: float = Field(
        0.25, gt=0, le=1, description="Side of a crop as a share of the side of the picture; at least 16 pixels."
    )
    top_share: float = Field(
        0.05,
        gt=0,
        le=1,
        description="Share of the pixels of the saliency map, the largest ones, whose mean is the probability of the "
        "picture.",
    )
    sparsity: float = Field(0.01, ge=0, description="Weight of the mean of the saliency map in the loss.")


def network_mb(options: Options) -> int:
    """Return the megabytes of weights, gradients and the optimiser's state."""
    return 5 + 16 * 2 * 9 * sum((options.width << stage) ** 2 for stage in range(4)) // 10**6


def build(options: Options, weights: Path | None, vectors: int) -> Network:
    """Build the network with random weights."""
    from mammoflow.classification.attention_crops import AttentionCrops

    return AttentionCrops(options.width, options.crops, options.crop_share, options.top_share, options.sparsity)
