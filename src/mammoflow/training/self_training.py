"""Self-training in rounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from mammoflow.config.semi_supervised import ConfidenceOptions
from mammoflow.training.learner import Learner, Stream
from mammoflow.training.pseudo_labels import PseudoLabels, pseudo_loss
from mammoflow.training.second_network import Teacher
from mammoflow.training.semi_supervised import Pair, SemiSupervisedLearner


class SelfTrainingLearner(SemiSupervisedLearner):
    """Rounds of equal length: at the beginning of each later round the weights become a frozen teacher.

    The teacher labels the unlabelled samples as they are augmented. Labels that are not confident are ignored, and so
    are the samples of a batch with the least mean confidence. The network keeps its weights; it does not start
    again from random ones, because the learning rate rises and falls once in a run.

    Parameters
    ----------
    inner, unlabelled
        See `SemiSupervisedLearner`.
    options
        Weight and confidence.
    rounds
        Number of rounds; the first one has labelled samples only.
    keep_share
        Share of the samples of a batch that are learned from.
    """

    def __init__(
        self, inner: Learner, unlabelled: Stream, options: ConfidenceOptions, rounds: int, keep_share: float
    ) -> None:
        super().__init__(inner, unlabelled, options)
        self.confidence, self.rounds, self.keep_share = options.confidence, rounds, keep_share
        self.teacher = Teacher(inner)

    def move(self, device: torch.device) -> None:
        """Move the teacher to a device."""
        self.teacher.move(device)

    def round(self, epoch: int) -> int:
        """Return the round of an epoch, from 0."""
        return epoch * self.rounds // max(self.epochs, 1)

    def batches(self, epoch: int) -> Iterator[Pair]:
        """Yield the batches of an epoch; in the first epoch of a round the teacher takes the weights over."""
        if epoch and self.round(epoch) != self.round(epoch - 1):
            self.teacher.follow(decay=0.0)
        return super().batches(epoch)

    def weight(self, epoch: int, step: int) -> float:
        """Return the weight of the unlabelled loss, which is 0 in the first round."""
        return super().weight(epoch, step) if self.round(epoch) else 0.0

    def unlabelled_loss(self, batch: Any, epoch: int, step: int) -> Tensor:
        """Return the loss against the teacher's confident labels."""
        logits = self.teacher.outputs(batch)
        labels = PseudoLabels.of(logits, self.confidence)
        chosen = most_confident(logits, self.keep_share)
        valid = labels.valid & chosen.reshape(-1, *([1] * (logits.dim() - 1)))
        return pseudo_loss(self.inner.outputs(batch), PseudoLabels(labels.target, valid))

    def further_tensors(self) -> dict[str, Tensor]:
        """Return the teacher."""
        return {f"teacher.{name}": tensor for name, tensor in self.teacher.tensors.items()}


def most_confident(logits: Tensor, share: float) -> Tensor:
    """Return which samples of a batch have the largest mean confidence.

    The confidence of a map is the mean probability of the predicted class over its predicted lesion pixels, or over all
    pixels where it has none: healthy tissue would outweigh a small lesion otherwise.

    Parameters
    ----------
    logits
        (n, ...).
    share
        Of the samples; at least one is chosen.

    Returns
    -------
    Tensor
        (n,) bool.
    """
    flat = logits.flatten(1) if logits.dim() > 1 else logits[:, None]
    probability = flat.sigmoid()
    confidence = torch.maximum(probability, 1 - probability)
    lesion = (probability >= 0.5).float()
    counted = torch.where(lesion.sum(dim=1, keepdim=True) > 0, lesion, torch.ones_like(lesion))
    means = (confidence * counted).sum(dim=1) / counted.sum(dim=1)
    number = max(1, round(share * len(logits)))
    chosen = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
    chosen[means.argsort(descending=True, stable=True)[:number]] = True
    return chosen
