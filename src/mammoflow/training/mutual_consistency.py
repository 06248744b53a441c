"""Decoders of one encoder that agree with each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from mammoflow.config.semi_supervised import SemiSupervisedOptions
from mammoflow.training.learner import Learner, Stream
from mammoflow.training.semi_supervised import Pair, SemiSupervisedLearner


class MutualConsistencyLearner(SemiSupervisedLearner):
    """Mutual consistency: each decoder agrees with the sharpened output of every other one, on all samples.

    The decoders differ in their upsampling. The network's own decoder learns from labels by the learner's loss, and so
    does each further one. The network's own decoder is validated and kept.

    Parameters
    ----------
    inner, unlabelled, options
        See `SemiSupervisedLearner`.
    upsampling
        Of each further decoder.
    temperature
        Of the sharpening p^(1/T) / (p^(1/T) + (1 - p)^(1/T)).

    Raises
    ------
    ConfigError
        If the network offers no further decoder.
    """

    def __init__(
        self,
        inner: Learner,
        unlabelled: Stream,
        options: SemiSupervisedOptions,
        upsampling: Sequence[str],
        temperature: float,
    ) -> None:
        super().__init__(inner, unlabelled, options)
        self.decoders = inner.further_decoders(upsampling)
        self.temperature = temperature

    def move(self, device: torch.device) -> None:
        """Move the further decoders to a device."""
        self.decoders.to(device)

    def mode(self, training: bool) -> None:
        """Put network and further decoders into a mode."""
        super().mode(training)
        self.decoders.train(training)

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Return the groups of the learner, and one of the further decoders."""
        return [*self.inner.groups(rate), {"params": list(self.decoders.parameters()), "lr": rate}]

    def loss(self, batch: Pair, epoch: int, step: int) -> Tensor:
        """Return the labelled loss of all decoders and, weighted, their disagreement on all samples."""
        labelled, others = batch
        outputs = self.inner.decoded(labelled, self.decoders)
        loss = torch.stack([self.inner.loss_of(each, labelled) for each in outputs]).mean()
        weight = self.weight(epoch, step)
        if not weight:
            return loss
        sizes = [self.inner.size(labelled), self.inner.size(others)]
        on_labelled, on_others = self.disagreement(outputs), self.unlabelled_loss(others, epoch, step)
        return loss + weight * (on_labelled * sizes[0] + on_others * sizes[1]) / sum(sizes)

    def disagreement(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return the mean squared difference of each output to the sharpened one of every other.

        No gradient flows into what is sharpened.
        """
        probabilities = [logits.float().sigmoid() for logits in outputs]
        sharp = [sharpened(probability.detach(), self.temperature) for probability in probabilities]
        pairs = permutations(range(len(outputs)), 2)
        return torch.stack([(probabilities[one] - sharp[other]).square().mean() for one, other in pairs]).mean()

    def unlabelled_loss(self, batch: Any, epoch: int, step: int) -> Tensor:
        """Return the disagreement on an unlabelled batch."""
        return self.disagreement(self.inner.decoded(batch, self.decoders))

    def further_tensors(self) -> dict[str, Tensor]:
        """Return the further decoders."""
        return {f"decoders.{name}": tensor for name, tensor in self.decoders.state_dict().items()}


def sharpened(probability: Tensor, temperature: float) -> Tensor:
    """Return p^(1/T) / (p^(1/T) + (1 - p)^(1/T)), computed as the sigmoid of logit(p) / T."""
    return (torch.logit(probability, eps=1e-6) / temperature).sigmoid()
