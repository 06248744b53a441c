"""Losses of logits against predicted labels; what is not confident is ignored and does not become background."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

DICE_SMOOTHING = 1.0


@dataclass(frozen=True)
class PseudoLabels:
    """Predicted labels.

    Attributes
    ----------
    target
        Of the shape of the logits: 0 or 1.
    valid
        Of the same shape: True where the label is learned from.
    """

    target: Tensor
    valid: Tensor

    @classmethod
    def of(cls, logits: Tensor, confidence: float) -> PseudoLabels:
        """Take labels from logits; those whose class has a smaller probability than `confidence` are not valid."""
        probability = logits.detach().float().sigmoid()
        return cls((probability >= 0.5).float(), torch.maximum(probability, 1 - probability) >= confidence)


def cross_entropy(logits: Tensor, labels: PseudoLabels) -> Tensor:
    """Return the cross-entropy of the valid pixels or samples, summed and divided by the number of all of them.

    A batch with few confident pixels so has a small loss.
    """
    losses = functional.binary_cross_entropy_with_logits(logits.float(), labels.target, reduction="none")
    return (losses * labels.valid).mean()


def dice(logits: Tensor, labels: PseudoLabels) -> Tensor:
    """Return one minus the soft Dice over the valid pixels of each map, averaged over the maps with a valid pixel.

    Parameters
    ----------
    logits
        (n, channels, rows, columns).
    labels
        Labels of the same shape.
    """
    probability = logits.float().sigmoid() * labels.valid
    target = labels.target * labels.valid
    shared = (probability * target).sum(dim=(-2, -1))
    total = probability.sum(dim=(-2, -1)) + target.sum(dim=(-2, -1))
    losses = 1 - (2 * shared + DICE_SMOOTHING) / (total + DICE_SMOOTHING)
    counted = labels.valid.flatten(2).any(dim=2).float()
    return (losses * counted).sum() / counted.sum().clamp(min=1)


def pseudo_loss(logits: Tensor, labels: PseudoLabels) -> Tensor:
    """Return cross-entropy and, for maps, Dice against predicted labels."""
    loss = cross_entropy(logits, labels)
    return (loss + dice(logits, labels)) / 2 if logits.dim() == 4 else loss
