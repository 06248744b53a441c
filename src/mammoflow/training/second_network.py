"""A network with other weights: a teacher that follows the trained one, or a second network that learns beside it.

A learner runs its own network. `called_with` lets it do so with other tensors in the place of the network's own, so
that a learner needs to know nothing of a second network.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mammoflow.training.learner import Change, Learner

Tensors = dict[str, Tensor]


class _Call(nn.Module):
    """A function that runs a network, as a module, so that torch can exchange the tensors of the network."""

    def __init__(self, network: nn.Module, function: Callable[[], Tensor]) -> None:
        super().__init__()
        self.network, self._function = network, function

    def forward(self) -> Tensor:
        """Return what the function returns."""
        return self._function()


def called_with(network: nn.Module, tensors: Mapping[str, Tensor], function: Callable[[], Tensor]) -> Tensor:
    """Return what a function returns while a network has other tensors.

    Parameters
    ----------
    network
        The network that the function runs.
    tensors
        Tensors by the names of the network's state; gradients flow into them, and in training mode the statistics of
        batch normalisation among them change in place.
    function
        Returns logits or a loss.
    """
    named = {f"network.{name}": tensor for name, tensor in tensors.items()}
    result: Tensor = functional_call(_Call(network, function), named, (), tie_weights=False)
    return result


def outputs_with(learner: Learner, tensors: Mapping[str, Tensor], batch: Any, change: Change | None = None) -> Tensor:
    """Return the logits of a batch by the learner's network with other tensors; see `called_with`."""
    return called_with(learner.network, tensors, lambda: learner.outputs(batch, change))


@contextmanager
def in_evaluation(learner: Learner) -> Iterator[None]:
    """Put a learner that is trained into evaluation mode for a while, without gradients."""
    learner.mode(training=False)
    try:
        with torch.no_grad():
            yield
    finally:
        learner.mode(training=True)


def copied(network: nn.Module) -> Tensors:
    """Return copies of the tensors of a network's state."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


class Teacher:
    """Weights that follow those of a network, or are replaced by them from time to time.

    It has statistics of batch normalisation of its own, which follow as well, and predicts in evaluation mode.

    Parameters
    ----------
    learner
        The learner whose network is followed.
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.tensors = copied(learner.network)

    def move(self, device: torch.device) -> None:
        """Move the tensors to a device."""
        self.tensors = {name: tensor.to(device) for name, tensor in self.tensors.items()}

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Keep a share of the teacher and take the rest from the network; whole numbers are those of the network."""
        for name, current in self.learner.network.state_dict().items():
            if current.is_floating_point():
                self.tensors[name].lerp_(current, 1 - decay)
            else:
                self.tensors[name].copy_(current)

    def outputs(self, batch: Any, change: Change | None = None) -> Tensor:
        """Return the logits of a batch in fp32, without gradients, in evaluation mode."""
        with in_evaluation(self.learner):
            return outputs_with(self.learner, self.tensors, batch, change).float()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the learner's network have the teacher's tensors for a while."""
        network = self.learner.network
        current = copied(network)
        network.load_state_dict(self.tensors)
        try:
            yield
        finally:
            network.load_state_dict(current)


def second_network(network: nn.Module, anew: str) -> nn.Module:
    """Return a copy of a network in which some layers have new random weights; frozen layers keep theirs.

    Parameters
    ----------
    network
        The first network.
    anew
        `all` layers, or the last one (`head`) where the network starts from published weights.
    """
    second = copy.deepcopy(network)
    layers = [module for module in second.modules() if callable(getattr(module, "reset_parameters", None))]
    layers = [layer for layer in layers if any(item.requires_grad for item in layer.parameters(recurse=False))]
    weighted = [layer for layer in layers if getattr(layer, "weight", None) is not None]
    for layer in layers if anew == "all" else weighted[-1:]:
        layer.reset_parameters()  # type: ignore[operator]
    return second
