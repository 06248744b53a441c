"""Batch normalisation in training: its running statistics frozen, or computed anew from whole batches.

The running statistics lag behind the weights. After a short training they are so far off that a network's outputs in
evaluation mode say little, and a loss that is measured with them is noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mammoflow.errors import StudyError

_ONE_VALUE = "Expected more than 1 value per channel"
"""How torch's message begins where batch normalisation has nothing to take a deviation of."""


def normalisations(network: nn.Module) -> list[_BatchNorm]:
    """Return the layers of batch normalisation of a network."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


@contextmanager
def explained_single_values(label: str) -> Iterator[None]:
    """Turn torch's error about a batch that batch normalisation cannot use into one that says what to do.

    Parameters
    ----------
    label
        What is trained.

    Raises
    ------
    StudyError
        If batch normalisation sees one value of a channel: one sample whose feature map has one pixel.
    """
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(_ONE_VALUE):
            raise
        raise StudyError(
            f"training {label} has a batch of one sample, of which batch normalisation sees one value per channel; "
            "expected at least two values, for a deviation. Set batch_size to 2 or more, take larger pictures, or add "
            "training patients; where memory ran out before, give the job more memory"
        ) from error


def may_recompute(network: nn.Module) -> bool:
    """Tell whether forward passes may be computed again for the gradient.

    Each pass in training mode counts in the running statistics of batch normalisation, so a network that has it must
    not be passed through twice.
    """
    return not normalisations(network)


def frozen_statistics(network: nn.Module) -> None:
    """Put batch normalisation into evaluation mode: it uses its running statistics and leaves them as they are.

    Call it after `train()`. It suits batches of a few images, whose statistics are noise.
    """
    for layer in normalisations(network):
        layer.eval()


@torch.no_grad()
def recompute_statistics(network: nn.Module, forwards: Iterable[Callable[[], object]]) -> None:
    """Replace the running statistics of batch normalisation by the mean of those of some forward passes.

    Everything else of the network stays in evaluation mode, as it is when the statistics are used. Izmailov et al.,
    Averaging Weights Leads to Wider Optima and Better Generalization, UAI 2018, do the same after averaging.

    Parameters
    ----------
    network
        A network; without batch normalisation nothing is called and nothing changes.
    forwards
        Each passes one training batch through the network.
    """
    layers = [layer for layer in normalisations(network) if layer.track_running_stats]
    if not layers:
        return
    modes = {module: module.training for module in network.modules()}
    momenta = {layer: layer.momentum for layer in layers}
    network.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all passes
        layer.train()
    try:
        for forward in forwards:
            forward()
    finally:
        for layer, momentum in momenta.items():
            layer.momentum = momentum
        for module, training in modes.items():
            module.training = training
