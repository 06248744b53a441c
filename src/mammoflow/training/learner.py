"""What the training loop asks of whatever is trained: one interface for classifiers and segmentation models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from mammoflow.errors import ConfigError, StudyError

Stream = Callable[[int], Iterable[Any]]
"""Returns the batches of an epoch."""

Change = Callable[[Tensor], Tensor]
"""Changes the inputs of a network, (n, ...) on its device, before the network sees them."""


@dataclass(frozen=True)
class Watched:
    """The figure of the history that decides which epoch is kept, and when patience ends the training.

    Attributes
    ----------
    figure
        A key of what `Learner.validate` returns.
    direction
        Whether the least or the largest value is best.
    smoothing
        Epochs over which the figure is averaged: the epoch itself and those before it.
    """

    figure: str
    direction: Literal["min", "max"]
    smoothing: int = 1


class Learner(ABC):
    """A network, its data and its loss.

    A batch is whatever `batches` yields; only the learner looks into it. The loop calls `mode`, enters autocast and
    moves the network to the plan's device.

    Attributes
    ----------
    network
        What is trained.
    watched
        What decides the epoch that is kept; None keeps the last one.
    items
        What the samples of a batch are, for messages.
    """

    network: nn.Module
    watched: Watched | None = None
    items: str = "samples"

    @abstractmethod
    def batches(self, epoch: int) -> Iterable[Any]:
        """Yield the batches of an epoch, counted from 0; their order follows from the seed and the epoch alone."""

    @abstractmethod
    def steps(self) -> int:
        """Return the number of batches in an epoch."""

    @abstractmethod
    def loss(self, batch: Any, epoch: int, step: int) -> Tensor:
        """Return the mean loss of a batch, a differentiable scalar.

        Parameters
        ----------
        batch
            One of `batches`, or a part of one where memory ran out.
        epoch, step
            Epoch and place of the batch in it, counted from 0.
        """

    @abstractmethod
    def validate(self, epoch: int) -> dict[str, float]:
        """Return the figures of the history after an epoch, `watched.figure` among them; empty without validation.

        The loop calls it in evaluation mode and without gradients.
        """

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Return the parameter groups of the optimiser, each with its highest learning rate `lr`.

        Parameters
        ----------
        rate
            Highest learning rate of the plan.
        """
        return [{"params": [item for item in self.network.parameters() if item.requires_grad], "lr": rate}]

    def size(self, batch: Any) -> int:
        """Return the number of samples in a batch, which is the weight of its loss."""
        return len(batch)

    def split(self, batch: Any) -> list[Any]:
        """Return two halves of a batch, or the batch alone where it cannot be halved."""
        return [batch]

    def outputs(self, batch: Any, change: Change | None = None, drop: float = 0.0) -> Tensor:
        """Return the logits of a batch, differentiable, the first axis over its samples; no label is needed.

        Trainers that learn from unlabelled batches compare such outputs.

        Parameters
        ----------
        batch
            One of `batches`, or an unlabelled one.
        change
            What is done to the inputs of the network; None leaves them as they are.
        drop
            Share of the channels between encoder and decoder that are set to 0 at random.

        Raises
        ------
        StudyError
            If the learner has no outputs, or if its network has no encoder and decoder where `drop` is above 0.
        """
        raise StudyError(
            f"{type(self).__name__} gives no outputs of unlabelled batches; expected a learner that does, or the "
            "trainer supervised"
        )

    def loss_of(self, outputs: Tensor, batch: Any) -> Tensor:
        """Return the mean loss of some logits of a labelled batch, as `outputs` returns them.

        Raises
        ------
        StudyError
            If the loss needs more than logits.
        """
        raise StudyError(f"{type(self).__name__} has no loss of logits; expected another trainer")

    def further_decoders(self, upsampling: Sequence[str]) -> nn.ModuleList:
        """Return decoders with random weights for the same encoder, one for each way of upsampling.

        Parameters
        ----------
        upsampling
            `transposed`, `bilinear` or `nearest`.

        Raises
        ------
        ConfigError
            If the network is not made of an encoder and a decoder that upsamples.
        """
        raise ConfigError(
            f"the trainer needs a network with an encoder and a decoder that upsamples, but {type(self).__name__} "
            f"trains {type(self.network).__name__}, which offers no further decoder; expected a U-Net, or another "
            "trainer, such as cross_pseudo_supervision"
        )

    def decoded(self, batch: Any, decoders: nn.ModuleList) -> list[Tensor]:
        """Return the logits of a batch by the network, then by each further decoder on the same features."""
        raise StudyError(f"{type(self).__name__} has no further decoder")

    def begin(self, epochs: int) -> None:
        """Take note of the epochs of the run, before the first one and after the network has moved to its device."""
        return

    def after_step(self) -> None:
        """Do what follows a step of the optimiser, such as moving a teacher's weights."""
        return

    def mode(self, training: bool) -> None:
        """Put the network into training or evaluation mode; the policy of batch normalisation is decided here alone."""
        self.network.train(training)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that training changes, by name, as references and not as copies."""
        state: dict[str, Tensor] = self.network.state_dict()
        return state

    def kept(self) -> dict[str, Tensor]:
        """Return the tensors of the epoch that has just been validated, as `state` names them."""
        return self.state()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Copy what `state` or `kept` returned into the network."""
        self.network.load_state_dict(state)


class WrappedLearner(Learner):
    """A learner that passes everything on to another one; a trainer overrides what it changes.

    Parameters
    ----------
    inner
        The learner that is wrapped.
    """

    def __init__(self, inner: Learner) -> None:
        self.inner = inner
        self.network, self.watched, self.items = inner.network, inner.watched, inner.items

    def batches(self, epoch: int) -> Iterable[Any]:
        """Yield the batches of an epoch."""
        return self.inner.batches(epoch)

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return self.inner.steps()

    def loss(self, batch: Any, epoch: int, step: int) -> Tensor:
        """Return the mean loss of a batch."""
        return self.inner.loss(batch, epoch, step)

    def validate(self, epoch: int) -> dict[str, float]:
        """Return the figures of the history after an epoch."""
        return self.inner.validate(epoch)

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Return the parameter groups of the optimiser."""
        return self.inner.groups(rate)

    def size(self, batch: Any) -> int:
        """Return the number of samples in a batch."""
        return self.inner.size(batch)

    def split(self, batch: Any) -> list[Any]:
        """Return two halves of a batch, or the batch alone."""
        return self.inner.split(batch)

    def outputs(self, batch: Any, change: Change | None = None, drop: float = 0.0) -> Tensor:
        """Return the logits of a batch."""
        return self.inner.outputs(batch, change, drop)

    def loss_of(self, outputs: Tensor, batch: Any) -> Tensor:
        """Return the mean loss of some logits of a labelled batch."""
        return self.inner.loss_of(outputs, batch)

    def further_decoders(self, upsampling: Sequence[str]) -> nn.ModuleList:
        """Return decoders with random weights for the same encoder."""
        return self.inner.further_decoders(upsampling)

    def decoded(self, batch: Any, decoders: nn.ModuleList) -> list[Tensor]:
        """Return the logits of a batch by the network and by further decoders."""
        return self.inner.decoded(batch, decoders)

    def begin(self, epochs: int) -> None:
        """Take note of the epochs of the run."""
        self.inner.begin(epochs)

    def after_step(self) -> None:
        """Do what follows a step of the optimiser."""
        self.inner.after_step()

    def mode(self, training: bool) -> None:
        """Put the network into training or evaluation mode."""
        self.inner.mode(training)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that training changes."""
        return self.inner.state()

    def kept(self) -> dict[str, Tensor]:
        """Return the tensors of the epoch that has just been validated."""
        return {**self.state(), **self.inner.kept()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Copy what `state` returned into the network."""
        self.inner.load_state(state)
