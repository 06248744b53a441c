"""Losses of maps whose reference is known in part, or for the image as a whole."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mammoflow.training.pseudo_labels import PseudoLabels, dice


def known_loss(logits: Tensor, targets: Tensor, known: Tensor, with_dice: bool) -> Tensor:
    """Return cross-entropy, averaged over known pixels, and, where wanted, the Dice loss over them.

    Parameters
    ----------
    logits, targets
        (N, 1, rows, columns).
    known
        The same shape, bool: pixels with a reference.
    with_dice
        Whether the soft Dice loss of each map with a known pixel is added.
    """
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    loss = (losses * known).sum() / known.sum().clamp(min=1)
    return loss + dice(logits, PseudoLabels(targets, known)) if with_dice else loss


def pooled_probability(logits: Tensor, top_share: float) -> Tensor:
    """Return the probability of each image (N,): the mean of the largest probabilities of its map.

    Shen et al., An interpretable classifier for high-resolution breast cancer screening images, Medical Image Analysis
    2021, pool the saliency map of their global network like this.

    Parameters
    ----------
    logits
        (N, 1, rows, columns).
    top_share
        Share of the pixels.
    """
    probabilities = logits.float().flatten(1).sigmoid()
    number = max(1, round(top_share * probabilities.shape[1]))
    return probabilities.topk(number, dim=1).values.mean(dim=1)


def image_loss(logits: Tensor, targets: Tensor, top_share: float, sparsity: float) -> Tensor:
    """Return the loss of maps when only the label of the whole image is known.

    Parameters
    ----------
    logits
        (N, 1, rows, columns).
    targets
        The same shape; an image has a lesion where its largest value is 1.
    top_share
        See `pooled_probability`.
    sparsity
        Weight of the mean probability, which keeps maps small.
    """
    probability = pooled_probability(logits, top_share).clamp(1e-6, 1 - 1e-6)
    labels = targets.flatten(1).amax(dim=1)
    entropy = -(labels * probability.log() + (1 - labels) * (1 - probability).log())
    return entropy.mean() + sparsity * torch.sigmoid(logits.float()).mean()
