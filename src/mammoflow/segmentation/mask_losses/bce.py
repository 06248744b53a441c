"""Cross-entropy of each pixel, averaged over all pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.members import NoOptions

if TYPE_CHECKING:
    from torch import Tensor


def loss(logits: Tensor, targets: Tensor, options: NoOptions) -> Tensor:
    """Return the mean cross-entropy."""
    from torch.nn import functional

    return functional.binary_cross_entropy_with_logits(logits.float(), targets.float())
