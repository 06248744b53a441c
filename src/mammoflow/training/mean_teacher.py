"""Learning from a teacher that is the moving average of the trained weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from mammoflow.config.semi_supervised import TeacherOptions
from mammoflow.training.learner import Learner, Stream
from mammoflow.training.second_network import Teacher, in_evaluation, outputs_with
from mammoflow.training.semi_supervised import SemiSupervisedLearner, ramp
from mammoflow.training.views import noisy


class MeanTeacherLearner(SemiSupervisedLearner):
    """Mean teacher: the squared difference of the probabilities of network and teacher on unlabelled samples.

    The teacher is validated, and its weights are kept. It follows with min(1 - 1 / (t + 1), decay) after t steps.

    Parameters
    ----------
    inner, unlabelled
        See `SemiSupervisedLearner`.
    options
        Weight, ramp, decay and noise.
    """

    def __init__(self, inner: Learner, unlabelled: Stream, options: TeacherOptions) -> None:
        super().__init__(inner, unlabelled, options)
        self.decay, self.noise = options.decay, options.noise
        self.teacher = Teacher(inner)
        self.steps_done = torch.zeros((), dtype=torch.int64)
        self._validated: dict[str, Tensor] = {}

    def move(self, device: torch.device) -> None:
        """Move the teacher to a device."""
        self.teacher.move(device)

    def unlabelled_loss(self, batch: Any, epoch: int, step: int) -> Tensor:
        """Return the mean squared difference to the teacher, whose inputs have noise."""
        target = self.teacher.outputs(batch, partial(noisy, noise=self.noise)).sigmoid()
        return (self.inner.outputs(batch).float().sigmoid() - target).square().mean()

    def after_step(self) -> None:
        """Let the teacher follow."""
        super().after_step()
        self.steps_done += 1
        self.teacher.follow(min(1 - 1 / (int(self.steps_done) + 1), self.decay))

    def validate(self, epoch: int) -> dict[str, float]:
        """Return the figures of the teacher."""
        with self.teacher.in_place():
            figures = super().validate(epoch)
            self._validated = {name: tensor.detach().clone() for name, tensor in self.inner.state().items()}
        return figures

    def kept(self) -> dict[str, Tensor]:
        """Return the state with the teacher in place of the network."""
        return {**self.state(), **self._validated}

    def further_tensors(self) -> dict[str, Tensor]:
        """Return the teacher and the number of its steps."""
        teacher = {f"teacher.{name}": tensor for name, tensor in self.teacher.tensors.items()}
        return {**teacher, "steps_done": self.steps_done}


class UncertaintyAwareLearner(MeanTeacherLearner):
    """A mean teacher that is followed only where its mean output over noisy passes has a low entropy.

    The entropy may reach (0.75 + 0.25 r) ln 2, where r is the ramp over the whole run. ln 2 is the largest entropy of
    two classes. Layers of dropout are active in the teacher's passes; batch normalisation uses its own statistics.
    What is too uncertain is ignored.

    Parameters
    ----------
    inner, unlabelled, options
        See `MeanTeacherLearner`.
    passes
        Passes of the teacher.
    """

    def __init__(self, inner: Learner, unlabelled: Stream, options: TeacherOptions, passes: int) -> None:
        super().__init__(inner, unlabelled, options)
        self.passes = passes

    def unlabelled_loss(self, batch: Any, epoch: int, step: int) -> Tensor:
        """Return the squared difference to the teacher, averaged over what the teacher is certain of."""
        change = partial(noisy, noise=self.noise)
        with in_evaluation(self.inner), active_dropout(self.network):
            outputs = [
                outputs_with(self.inner, self.teacher.tensors, batch, change).float().sigmoid()
                for _ in range(self.passes)
            ]
        target = torch.stack(outputs).mean(dim=0)
        certain = entropy(target) < (0.75 + 0.25 * ramp(self.share(epoch, step))) * math.log(2)
        difference = (self.inner.outputs(batch).float().sigmoid() - target).square()
        return (difference * certain).sum() / certain.sum().clamp(min=1)


def entropy(probability: Tensor) -> Tensor:
    """Return the entropy of two classes in nats, of the shape of the probabilities of one of them."""
    both: Tensor = torch.special.entr(probability) + torch.special.entr(1 - probability)
    return both


@contextmanager
def active_dropout(network: nn.Module) -> Iterator[None]:
    """Put layers of dropout into training mode for a while."""
    layers = [(module, module.training) for module in network.modules() if isinstance(module, _DropoutNd)]
    for layer, _ in layers:
        layer.train()
    try:
        yield
    finally:
        for layer, training in layers:
            layer.train(training)
