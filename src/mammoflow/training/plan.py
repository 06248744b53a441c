"""How one fit is done: limits, rates, seed, device, precision and the course of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import torch

from mammoflow.config.training import TrainingSettings
from mammoflow.run.runtime import has_native_bf16
from mammoflow.training.learner import Watched

Precision = Literal["bf16-mixed", "32-true"]

LARGEST_GRADIENT = 1.0
"""Norm to which gradients are clipped unless a plan says otherwise."""

SMALLEST_IMPROVEMENT = 1e-4
"""Share by which a loss must fall to count as better, as in torch's ReduceLROnPlateau."""


def choose_precision(device: torch.device, transformer: bool) -> Precision:
    """Return bf16 where it pays: on a GPU that has it, and for transformers on a CPU with instructions for it."""
    pays = has_native_bf16(device) and (transformer or device.type == "cuda")
    return "bf16-mixed" if pays else "32-true"


@dataclass(frozen=True)
class OneCycle:
    """The learning rate rises to its highest value and falls again along a cosine (Smith and Topin, 2019).

    Attributes
    ----------
    rising_share
        Share of the steps in which the rate rises.
    first_share
        Share of the highest rate at which it begins.
    final_share
        Share of the highest rate at which it ends.
    rise
        Along a line, or along a cosine as in torch's OneCycleLR.
    momentum
        AdamW's first beta at both ends and at the peak; None leaves it as it is.
    """

    rising_share: float = 0.2
    first_share: float = 0.0
    final_share: float = 0.0
    rise: Literal["line", "cosine"] = "line"
    momentum: tuple[float, float] | None = None

    def rate(self, step: int, steps: int) -> float:
        """Return the share of the highest rate for a step, counted from 0, of so many."""
        height, rising = self._height(step, steps)
        return _between(self.first_share if rising else self.final_share, 1.0, height)

    def beta(self, step: int, steps: int) -> float | None:
        """Return AdamW's first beta for a step; None where it stays as it is."""
        if self.momentum is None:
            return None
        return _between(self.momentum[0], self.momentum[1], self._height(step, steps)[0])

    def _height(self, step: int, steps: int) -> tuple[float, bool]:
        """Return where a step is between the ends (0) and the peak (1), and whether the rate still rises."""
        if self.rise == "line":
            peak = float(max(1, round(self.rising_share * steps)))
            if step < peak:
                return (step + 1) / peak, True
        else:
            peak = self.rising_share * (steps + 1) - 1
            if step < peak:
                return (1 - math.cos(math.pi * step / peak)) / 2, True
        return (1 + math.cos(math.pi * min(1.0, (step - peak) / max(1.0, steps - peak)))) / 2, False


@dataclass(frozen=True)
class Plateau:
    """The learning rate falls by a factor whenever a loss has not become better for some epochs.

    It does what torch's ReduceLROnPlateau does with its defaults. The history alone decides, so a training that is
    resumed has the rates of an unbroken one.

    Attributes
    ----------
    epochs
        Epochs without a better loss that are tolerated.
    factor
        Of the learning rate after one more.
    figure
        The loss, a key of the history.
    """

    epochs: int
    factor: float
    figure: str = "validation_loss"

    def share(self, history: Sequence[Mapping[str, float]]) -> float:
        """Return the share of the highest rate after the epochs of a history."""
        best, bad, share = math.inf, 0, 1.0
        for row in history:
            if row[self.figure] < best * (1 - SMALLEST_IMPROVEMENT):
                best, bad = row[self.figure], 0
            else:
                bad += 1
            if bad > self.epochs:
                share, bad = share * self.factor, 0
        return share


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


@dataclass(frozen=True)
class Plan:
    """How one fit is done.

    Attributes
    ----------
    epochs
        Most epochs; the schedule of the learning rate is laid out over them.
    patience
        Epochs without a better watched figure after which training stops; None finishes the schedule.
    learning_rate
        Highest learning rate, for a learner whose groups have none of their own.
    weight_decay
        Of AdamW.
    seed
        Of all that is drawn.
    device
        Where the network is trained.
    precision
        Arithmetic of forward passes.
    largest_gradient
        Norm to which gradients are clipped; None does not clip.
    averaging
        Decay of the moving average of the weights in the second half of the steps, which is validated and kept in
        place of the weights; None keeps the weights as they are.
    schedule
        Course of the learning rate.
    stop
        The figure that patience looks at; None for the one that the learner watches.
    validate_every
        Epochs from one validation to the next. The last epoch is always validated. More than 1 is for a learner that
        watches no figure.
    """

    epochs: int
    patience: int | None
    learning_rate: float
    weight_decay: float
    seed: int
    device: torch.device
    precision: Precision = "32-true"
    largest_gradient: float | None = LARGEST_GRADIENT
    averaging: float | None = None
    schedule: OneCycle | Plateau = field(default_factory=OneCycle)
    stop: Watched | None = None
    validate_every: int = 1

    def validates(self, epoch: int) -> bool:
        """Tell whether an epoch, counted from 0, is validated."""
        return (epoch + 1) % self.validate_every == 0 or epoch + 1 == self.epochs

    def share(self, step: int, steps: int, history: Sequence[Mapping[str, float]]) -> float:
        """Return the share of the highest rate for a step, counted from 0, of so many, after some epochs."""
        return self.schedule.rate(step, steps) if isinstance(self.schedule, OneCycle) else self.schedule.share(history)

    def beta(self, step: int, steps: int) -> float | None:
        """Return AdamW's first beta for a step; None where it stays as it is."""
        return self.schedule.beta(step, steps) if isinstance(self.schedule, OneCycle) else None

    @classmethod
    def of(cls, settings: TrainingSettings, device: torch.device, transformer: bool = False) -> Self:
        """Take a plan from settings.

        Parameters
        ----------
        settings
            Epochs, patience, rates and seed.
        device
            Where the network is trained.
        transformer
            Whether the time goes into a transformer, which is faster in bf16 on some CPUs too.
        """
        return cls(
            settings.epochs,
            settings.patience,
            settings.learning_rate,
            settings.weight_decay,
            settings.seed,
            device,
            choose_precision(device, transformer),
        )
