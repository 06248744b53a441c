"""A part of an input that is trained together with the network, such as the promptable model that made its features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from mammoflow.training.batching import Rows


@dataclass(frozen=True)
class FrontOutput:
    """What a front gives for a batch.

    Attributes
    ----------
    inputs
        The network's inputs, differentiable.
    loss
        Scalar that training adds to the classification loss; None where there is none.
    mask_logits
        (n, 1, rows, columns) low-resolution logits of the lesions' masks; None where there are none.
    """

    inputs: dict[str, Tensor]
    loss: Tensor | None = None
    mask_logits: Tensor | None = None


class Front(nn.Module, ABC):
    """A trainable part before the network.

    The network is first trained alone on inputs that were computed once. In a second phase the front computes them
    anew for each batch and learns with it.

    Attributes
    ----------
    epochs, learning_rate
        Of the second phase; the rate is that of network and head too.
    loss_name
        What the history calls the front's own loss.
    attention
        Whether it is a transformer, which a CPU computes faster in bf16.
    """

    epochs: int
    learning_rate: float
    loss_name: str
    attention: bool = False

    @abstractmethod
    def forward(self, rows: Rows) -> FrontOutput:
        """Compute the inputs of some samples."""

    @abstractmethod
    def groups(self) -> list[dict[str, Any]]:
        """Return the optimiser's parameter groups, each with its highest learning rate."""

    @abstractmethod
    def mode(self, training: bool) -> None:
        """Put what is trained into training or evaluation mode."""

    @abstractmethod
    def observe(self, rows: Rows, output: FrontOutput) -> None:
        """Take note of the outputs of a batch of predictions, for the record."""

    @abstractmethod
    def summary(self, split: npt.NDArray[np.object_]) -> dict[str, object]:
        """Return what the record says about the front, after all samples were observed."""
