"""Soft Dice loss of each image, as in the training code of SAM 2 (Ravi et al., 2024).

The denominator has the sums of probabilities and targets. That of V-Net (Milletari et al., 3DV 2016) has the sums of
their squares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.members import NoOptions

if TYPE_CHECKING:
    from torch import Tensor


def loss(logits: Tensor, targets: Tensor, options: NoOptions) -> Tensor:
    """Return the mean Dice loss."""
    from mammoflow.segmentation.losses import dice_loss

    return dice_loss(logits, targets).mean()
