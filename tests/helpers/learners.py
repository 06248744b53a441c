"""A tiny learner: a line through points, with dropout and batch normalisation, trained in a second."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.training.batching import Rows, cut_batches, halve
from mammoflow.training.learner import Change, Learner, Watched
from mammoflow.training.plan import Plan

EPOCHS = 4
ROWS = 12
BATCH = 4


class LineLearner(Learner):
    """Learns y = 2 x; validates the squared error on the last rows."""

    watched = Watched("validation_loss", "min")
    items = "points"

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.seed = seed
        self.network = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 1))
        self.x = torch.linspace(-1, 1, ROWS + 4)[:, None]
        self.y = 2 * self.x
        self.asked: list[tuple[int, int, tuple[int, ...]]] = []

    def batches(self, epoch: int) -> Iterable[Rows]:
        return cut_batches(np.arange(ROWS), BATCH, np.random.default_rng([self.seed, epoch]))

    def steps(self) -> int:
        return ROWS // BATCH

    def loss(self, batch: Rows, epoch: int, step: int) -> Tensor:
        self.asked.append((epoch, step, tuple(batch.tolist())))
        return self.loss_of(self.outputs(batch), batch)

    def loss_of(self, outputs: Tensor, batch: Rows) -> Tensor:
        return (outputs - self.y[batch]).square().mean()

    def outputs(self, batch: Rows, change: Change | None = None, drop: float = 0.0) -> Tensor:
        inputs = self.x[batch] if change is None else change(self.x[batch])
        output: Tensor = self._dropped(inputs, drop) if drop else self.network(inputs)
        return output

    def _dropped(self, inputs: Tensor, drop: float) -> Tensor:
        last: Tensor = self.network[-1](functional.dropout(self.network[:-1](inputs), drop))
        return last

    def further_decoders(self, upsampling: Sequence[str]) -> nn.ModuleList:
        return nn.ModuleList(nn.Linear(8, 1) for _ in upsampling)

    def decoded(self, batch: Rows, decoders: nn.ModuleList) -> list[Tensor]:
        features = self.network[:-1](self.x[batch])
        return [decoder(features) for decoder in (self.network[-1], *decoders)]

    def split(self, batch: Rows) -> list[Rows]:
        return halve(batch)

    def validate(self, epoch: int) -> dict[str, float]:
        return {"validation_loss": float((self.network(self.x[ROWS:]) - self.y[ROWS:]).square().mean().detach())}


class StoppedLearner(LineLearner):
    """Sends SIGTERM to its process in the first step of an epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.last = epoch

    def batches(self, epoch: int) -> Iterable[Rows]:
        self.epoch = epoch
        return super().batches(epoch)

    def loss_of(self, outputs: Tensor, batch: Rows) -> Tensor:
        if self.epoch == self.last:
            self.last = -1
            os.kill(os.getpid(), signal.SIGTERM)
        return super().loss_of(outputs, batch)


class Killed(Exception):
    """Stands for a kill: nothing more is written."""


class KilledLearner(LineLearner):
    """Ends in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.last = epoch

    def batches(self, epoch: int) -> Iterator[Rows]:
        for step, batch in enumerate(super().batches(epoch)):
            if (epoch, step) == (self.last, 1):
                raise Killed
            yield batch


class FigureLearner(LineLearner):
    """Validates to given figures."""

    def __init__(self, figures: Iterable[float], watched: Watched | None = None) -> None:
        super().__init__()
        self.figures = list(figures)
        self.watched = watched or LineLearner.watched

    def validate(self, epoch: int) -> dict[str, float]:
        return {"validation_loss": self.figures[epoch]}


def unlabelled_batches(epoch: int) -> list[Rows]:
    """Return two batches of the last rows, fewer than there are labelled ones."""
    return cut_batches(np.arange(ROWS, ROWS + 4), BATCH // 2, np.random.default_rng([7, epoch]))


def make_plan(**changes: Any) -> Plan:
    """Return a plan for a tiny learner."""
    values: dict[str, Any] = {
        "epochs": EPOCHS,
        "patience": None,
        "learning_rate": 0.05,
        "weight_decay": 0.01,
        "seed": 0,
        "device": torch.device("cpu"),
    }
    return Plan(**{**values, **changes})


def weights_of(learner: Learner) -> dict[str, Tensor]:
    """Return copies of a learner's tensors."""
    return {name: tensor.detach().clone() for name, tensor in learner.state().items()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Check that tensors are equal bit for bit."""
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def files_below(folder: Path) -> list[str]:
    """Return the names of the files in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())
