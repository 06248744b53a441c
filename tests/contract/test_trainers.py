"""What every trainer must do: it wraps any learner, and a training that was ended continues bit for bit."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from mammoflow.config.base import Settings
from mammoflow.config.training import TRAINERS
from mammoflow.training.learner import Learner
from mammoflow.training.loop import fit

NAMES = TRAINERS.names()


def wrap(learners: ModuleType, name: str, learner: Any) -> Learner:
    """Return a tiny learner under a trainer with its default options."""
    trainer = TRAINERS.load(name)
    stream = learners.unlabelled_batches if trainer.UNLABELLED else None
    wrapped: Learner = trainer.wrap(learner, stream, TRAINERS.options(name)())
    return wrapped


@pytest.mark.parametrize("name", NAMES)
def test_its_top_level_holds_data(name: str) -> None:
    assert issubclass(TRAINERS.options(name), Settings)
    assert isinstance(TRAINERS.load(name).UNLABELLED, bool)


@pytest.mark.parametrize("name", NAMES)
def test_its_loss_has_a_gradient_and_its_batches_have_sizes(learners: ModuleType, name: str) -> None:
    learner = wrap(learners, name, learners.LineLearner())
    batches = list(learner.batches(0))
    assert len(batches) == learner.steps()
    assert sum(learner.size(batch) for batch in batches) == learners.ROWS
    learner.mode(training=True)
    loss = learner.loss(batches[0], 0, 0)
    assert loss.shape == ()
    loss.backward()
    assert any(item.grad is not None and item.grad.abs().sum() > 0 for item in learner.network.parameters())
    halves = learner.split(batches[0])
    assert sum(learner.size(half) for half in halves) == learner.size(batches[0])


@pytest.mark.parametrize("name", NAMES)
def test_killed_training_continues_bit_for_bit(learners: ModuleType, tmp_path: Path, name: str) -> None:
    unbroken = wrap(learners, name, learners.LineLearner())
    whole = fit(unbroken, learners.make_plan(), tmp_path / "whole", "line")
    killed = wrap(learners, name, learners.KilledLearner(2))
    with pytest.raises(learners.Killed):
        fit(killed, learners.make_plan(), tmp_path / "killed", "line")
    resumed = wrap(learners, name, learners.LineLearner())
    fitted = fit(resumed, learners.make_plan(), tmp_path / "killed", "line")
    assert fitted.resumed_from == 2
    assert fitted.history == whole.history
    learners.assert_same(learners.weights_of(resumed), learners.weights_of(unbroken))


@pytest.fixture
def survives_sigterm() -> Iterator[None]:
    """Keep this process, should the loop not take the signal."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("survives_sigterm")
@pytest.mark.parametrize("name", NAMES)
def test_sigterm_ends_with_143_and_the_same_call_continues(learners: ModuleType, tmp_path: Path, name: str) -> None:
    with pytest.raises(SystemExit) as stop:
        fit(wrap(learners, name, learners.StoppedLearner(1)), learners.make_plan(), tmp_path / "stopped", "line")
    assert stop.value.code == 143
    resumed, unbroken = (wrap(learners, name, learners.LineLearner()) for _ in range(2))
    assert fit(resumed, learners.make_plan(), tmp_path / "stopped", "line").resumed_from == 1
    fit(unbroken, learners.make_plan(), tmp_path / "whole", "line")
    learners.assert_same(learners.weights_of(resumed), learners.weights_of(unbroken))


def test_supervised_learning_is_the_learners_own_loss(learners: ModuleType) -> None:
    learner = learners.LineLearner()
    wrapped = wrap(learners, "supervised", learner)
    learner.mode(training=False)
    batch = learner.batches(0)[0]
    with torch.no_grad():
        assert torch.equal(wrapped.loss(batch, 0, 0), learner.loss(batch, 0, 0))
    assert wrapped.network is learner.network
