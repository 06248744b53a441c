"""Sum of the cross-entropy and the soft Dice loss, as nnU-Net trains (Isensee et al., Nature Methods 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.members import NoOptions

if TYPE_CHECKING:
    from torch import Tensor


def loss(logits: Tensor, targets: Tensor, options: NoOptions) -> Tensor:
    """Return the mean loss."""
    from torch.nn import functional

    from mammoflow.segmentation.losses import dice_loss

    entropy = functional.binary_cross_entropy_with_logits(logits.float(), targets.float())
    return entropy + dice_loss(logits, targets).mean()
