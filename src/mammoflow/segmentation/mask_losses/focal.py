"""Focal loss, optionally with the soft Dice loss (Lin et al., ICCV 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mammoflow.config.base import Settings

if TYPE_CHECKING:
    from torch import Tensor


class Options(Settings):
    """Options of the loss `focal`."""

    alpha: float = Field(0.25, ge=0, le=1, description="Weight of lesion pixels; other pixels have 1 - alpha.")
    gamma: float = Field(2.0, ge=0, description="Exponent by which pixels that are right already count less.")
    dice_weight: float = Field(0.0, ge=0, description="Weight of the Dice loss that is added.")


def loss(logits: Tensor, targets: Tensor, options: Options) -> Tensor:
    """Return the mean loss."""
    from mammoflow.segmentation.losses import dice_loss, focal_loss

    focal = focal_loss(logits, targets, options.alpha, options.gamma).mean()
    return focal + options.dice_weight * dice_loss(logits, targets).mean() if options.dice_weight else focal
