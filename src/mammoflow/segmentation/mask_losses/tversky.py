"""Tversky loss: Dice with separate weights of false positives and false negatives (Salehi et al., MLMI 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mammoflow.config.base import Settings

if TYPE_CHECKING:
    from torch import Tensor


class Options(Settings):
    """Options of the loss `tversky`."""

    false_positives: float = Field(0.3, ge=0, description="Weight of false positives; 0.5 for both is Dice.")
    false_negatives: float = Field(0.7, ge=0, description="Weight of false negatives.")


def loss(logits: Tensor, targets: Tensor, options: Options) -> Tensor:
    """Return the mean loss."""
    probabilities, expected = logits.float().sigmoid().flatten(1), targets.float().flatten(1)
    shared = (probabilities * expected).sum(dim=1)
    wrong = (probabilities * (1 - expected)).sum(dim=1)
    missed = ((1 - probabilities) * expected).sum(dim=1)
    index = (shared + 1) / (shared + options.false_positives * wrong + options.false_negatives * missed + 1)
    return (1 - index).mean()
