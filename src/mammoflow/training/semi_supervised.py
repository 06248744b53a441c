"""What trainers with unlabelled samples share: two streams of batches, the weight over the run, further tensors."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from mammoflow.config.semi_supervised import SemiSupervisedOptions
from mammoflow.training.batching import pair_batches
from mammoflow.training.learner import Learner, Stream, WrappedLearner

PREFIX = "trainer."
"""Begins the names of a trainer's tensors in the state; no network has a part of this name."""

Pair = tuple[Any, Any]
"""A labelled and an unlabelled batch."""


def ramp(share: float) -> float:
    """Return the sigmoid ramp exp(-5 (1 - t)^2) of Laine and Aila (ICLR 2017) for 0 <= t <= 1, and 1 after it."""
    return math.exp(-5 * (1 - min(1.0, share)) ** 2)


class SemiSupervisedLearner(WrappedLearner):
    """A learner whose batches pair labelled with unlabelled samples.

    Both streams have their own batch size. The epochs are those of the labelled samples; the unlabelled stream starts
    again where it ends first.

    Parameters
    ----------
    inner
        The learner that is wrapped.
    unlabelled
        Unlabelled batches of an epoch.
    options
        Weight and ramp.
    """

    def __init__(self, inner: Learner, unlabelled: Stream, options: SemiSupervisedOptions) -> None:
        super().__init__(inner)
        self.unlabelled, self.options = unlabelled, options
        self.epochs = 1

    @abstractmethod
    def unlabelled_loss(self, batch: Any, epoch: int, step: int) -> Tensor:
        """Return the mean loss of an unlabelled batch, a scalar."""

    def begin(self, epochs: int) -> None:
        """Take note of the epochs of the run, and move the trainer's tensors to the network's device."""
        super().begin(epochs)
        self.epochs = epochs
        self.move(next(self.network.parameters()).device)

    def move(self, device: torch.device) -> None:
        """Move the trainer's tensors to a device."""
        return

    def share(self, epoch: int, step: int) -> float:
        """Return which share of the steps of the run has passed, from 0 at the first step to 1 at the last."""
        steps = self.steps()
        return (epoch * steps + step) / max(1, self.epochs * steps - 1)

    def weight(self, epoch: int, step: int) -> float:
        """Return the weight of the unlabelled loss."""
        share, chosen = self.share(epoch, step), self.options
        if share < chosen.start_share:
            return 0.0
        return chosen.weight * (ramp(share / chosen.ramp_share) if chosen.ramp_share else 1.0)

    def batches(self, epoch: int) -> Iterator[Pair]:
        """Yield each labelled batch of an epoch with an unlabelled one."""
        return pair_batches(self.inner.batches(epoch), self.unlabelled, epoch)

    def size(self, batch: Pair) -> int:
        """Return the number of labelled samples."""
        return self.inner.size(batch[0])

    def split(self, batch: Pair) -> list[Pair]:
        """Return two halves, or the batch alone where one of its parts has a single sample."""
        labelled, others = (self.inner.split(part) for part in batch)
        return list(zip(labelled, others, strict=True)) if len(labelled) == len(others) == 2 else [batch]

    def loss(self, batch: Pair, epoch: int, step: int) -> Tensor:
        """Return the loss of the labelled samples and, weighted, that of the unlabelled ones."""
        labelled, others = batch
        supervised = self.inner.loss(labelled, epoch, step)
        weight = self.weight(epoch, step)
        return supervised + weight * self.unlabelled_loss(others, epoch, step) if weight else supervised

    def further_tensors(self) -> dict[str, Tensor]:
        """Return the trainer's own tensors by name, as references; a resumed training needs them."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """Return the tensors of the learner, and those of the trainer with a prefix."""
        return {**self.inner.state(), **{PREFIX + name: tensor for name, tensor in self.further_tensors().items()}}

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Copy what `state` or `kept` returned into learner and trainer."""
        self.inner.load_state({name: tensor for name, tensor in state.items() if not name.startswith(PREFIX)})
        for name, tensor in self.further_tensors().items():
            tensor.copy_(state[PREFIX + name])
