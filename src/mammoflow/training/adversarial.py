"""A discriminator that tells predictions of labelled samples from those of unlabelled ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import binary_cross_entropy_with_logits

from mammoflow.config.semi_supervised import SemiSupervisedOptions
from mammoflow.errors import StudyError
from mammoflow.training.learner import Learner, Stream
from mammoflow.training.second_network import in_evaluation
from mammoflow.training.semi_supervised import Pair, SemiSupervisedLearner

SLOPE, DROPOUT = 0.2, 0.5
BETAS = (0.9, 0.99)
"""Of the optimiser of the discriminator."""


class AdversarialLearner(SemiSupervisedLearner):
    """Adversarial training on predictions together with the pictures that they are of.

    The discriminator learns to tell the two streams apart; the network learns that unlabelled samples look labelled to
    it. Both happen in one step: no gradient of one loss flows into the weights of the other. Each stream has its own
    mean, so that the batch sizes may differ. The discriminator has no batch normalisation.

    Parameters
    ----------
    inner, unlabelled, options
        See `SemiSupervisedLearner`.
    width
        Channels of the first convolution of the discriminator.
    rate
        Highest learning rate of the discriminator.
    """

    def __init__(
        self, inner: Learner, unlabelled: Stream, options: SemiSupervisedOptions, width: int, rate: float
    ) -> None:
        super().__init__(inner, unlabelled, options)
        self.rate = rate
        batch = next(iter(unlabelled(0)), None)
        if batch is None:
            raise StudyError("there is no unlabelled sample from which the discriminator could learn")
        with in_evaluation(inner):
            looked_at = self.seen(batch)
        pictures = looked_at.dim() == 4
        self.discriminator = (convolutions if pictures else layers)(int(looked_at.shape[1]), width)

    def seen(self, batch: Any) -> Tensor:
        """Return what the discriminator looks at of a batch.

        Returns
        -------
        Tensor
            Inputs with the probabilities as one more channel, (n, channels + 1, rows, columns) or (n, numbers + 1); the
            probability of a sample without a map fills its channel. Gradients flow through the probabilities.
        """
        inputs: list[Tensor] = []

        def keep(values: Tensor) -> Tensor:
            inputs.append(values.detach())
            return values

        logits = self.inner.outputs(batch, keep)
        shown = inputs[-1].float()
        probability = logits.float().sigmoid()
        if shown.dim() > 4:  # several pictures of one sample
            shown = shown.flatten(1, -3)
        if probability.dim() < shown.dim():
            shape = (len(shown), 1, *shown.shape[2:])
            probability = probability.reshape(-1, *([1] * (shown.dim() - 1))).expand(shape)
        return torch.cat([shown, probability], dim=1)

    def move(self, device: torch.device) -> None:
        """Move the discriminator to a device."""
        self.discriminator.to(device)

    def mode(self, training: bool) -> None:
        """Put network and discriminator into a mode."""
        super().mode(training)
        self.discriminator.train(training)

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Return the groups of the learner, and one of the discriminator."""
        own = {"params": list(self.discriminator.parameters()), "lr": self.rate, "betas": BETAS, "weight_decay": 0.0}
        return [*self.inner.groups(rate), own]

    def loss(self, batch: Pair, epoch: int, step: int) -> Tensor:
        """Return the labelled loss, the discriminator's, and, weighted, the adversarial one."""
        labelled, others = batch
        loss = self.inner.loss(labelled, epoch, step)  # of all outputs of a network that has several
        weight = self.weight(epoch, step)
        if not weight:
            return loss
        with torch.no_grad():
            shown = self.seen(labelled)
        shown_others = self.seen(others)
        real, false = (self.discriminator(each.detach()) for each in (shown, shown_others))
        discrimination = (_mean_loss(real, 1.0) + _mean_loss(false, 0.0)) / 2
        return loss + discrimination + weight * self._adversarial(shown_others)

    def unlabelled_loss(self, batch: Any, epoch: int, step: int) -> Tensor:
        """Return the adversarial loss of an unlabelled batch."""
        return self._adversarial(self.seen(batch))

    def _adversarial(self, shown: Tensor) -> Tensor:
        """Return the loss of not looking labelled; no gradient flows into the discriminator."""
        frozen = {name: tensor.detach() for name, tensor in self.discriminator.state_dict().items()}
        return _mean_loss(functional_call(self.discriminator, frozen, (shown,)), 1.0)

    def further_tensors(self) -> dict[str, Tensor]:
        """Return the discriminator."""
        return {f"discriminator.{name}": tensor for name, tensor in self.discriminator.state_dict().items()}


def _mean_loss(logits: Tensor, label: float) -> Tensor:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def convolutions(channels: int, width: int) -> nn.Module:
    """Return a discriminator of pictures: four 4 x 4 convolutions with stride 2, the mean, and one layer."""
    parts: list[nn.Module] = []
    for stage in range(4):
        out = width * 2**stage
        parts += [nn.Conv2d(channels, out, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE), nn.Dropout2d(DROPOUT)]
        channels = out
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1))


def layers(numbers: int, width: int) -> nn.Module:
    """Return a discriminator of vectors: one hidden layer."""
    return nn.Sequential(nn.Linear(numbers, width), nn.LeakyReLU(SLOPE), nn.Dropout(DROPOUT), nn.Linear(width, 1))
