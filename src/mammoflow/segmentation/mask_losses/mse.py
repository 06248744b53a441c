"""Mean squared error between the probability and the reference of each pixel, averaged over all pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.members import NoOptions

if TYPE_CHECKING:
    from torch import Tensor


def loss(logits: Tensor, targets: Tensor, options: NoOptions) -> Tensor:
    """Return the mean squared error of the probabilities."""
    from torch.nn import functional

    return functional.mse_loss(logits.float().sigmoid(), targets.float())
