"""A moving average of the weights (Polyak and Juditsky, 1992), which is validated and kept in their place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from mammoflow.training.learner import Learner


class Average:
    """The exponential moving average of a learner's state, from one step on.

    Running statistics are averaged like weights; whole numbers are those of the last step.

    Parameters
    ----------
    decay
        Share of the average that each step keeps; None averages nothing.
    start
        First step whose weights count.
    """

    def __init__(self, decay: float | None, start: int) -> None:
        self.decay, self.start = decay, start
        self.tensors: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, state: dict[str, Tensor], step: int) -> None:
        """Count the weights after a step, counted from 0."""
        if self.decay is None or step < self.start:
            return
        if not self.tensors:
            self.tensors = {name: tensor.detach().clone() for name, tensor in state.items()}
            return
        for name, average in self.tensors.items():
            if average.is_floating_point():
                average.lerp_(state[name].detach(), 1 - self.decay)
            else:
                average.copy_(state[name])

    def load(self, tensors: dict[str, Tensor], state: dict[str, Tensor]) -> None:
        """Take over the average of a stopped training; `state` says where the tensors go."""
        self.tensors = {name: tensor.to(state[name].device) for name, tensor in tensors.items()}

    @contextmanager
    def applied(self, learner: Learner) -> Iterator[None]:
        """Give the learner the average, where there is one, and its own weights back at the end."""
        if not self.tensors:
            yield
            return
        current = {name: tensor.detach().clone() for name, tensor in learner.state().items()}
        learner.load_state(self.tensors)
        try:
            yield
        finally:
            learner.load_state(current)
