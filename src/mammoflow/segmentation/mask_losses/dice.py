"""Soft Dice loss of each image (Milletari et al., V-Net, 3DV 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.members import NoOptions

if TYPE_CHECKING:
    from torch import Tensor


def loss(logits: Tensor, targets: Tensor, options: NoOptions) -> Tensor:
    """Return the mean Dice loss."""
    from mammoflow.segmentation.losses import dice_loss

    return dice_loss(logits, targets).mean()
