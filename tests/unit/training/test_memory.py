"""A batch that does not fit is halved, and the step stays what it is."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from mammoflow.run.memory import NoMemoryError
from mammoflow.training.loop import fit


def make_small_memory(learner: Any, room: int) -> Any:
    """Let a learner run out of memory with more than `room` rows; without what depends on the batch."""
    torch.manual_seed(0)
    learner.network = nn.Linear(1, 1)
    loss = type(learner).loss

    def limited(batch: Any, epoch: int, step: int) -> torch.Tensor:
        if len(batch) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(learner, batch, epoch, step)

    learner.loss = limited
    return learner


@pytest.mark.parametrize(("room", "halvings"), [(4, 0), (3, 1), (1, 2)])
def test_halved_batches_give_the_same_weights(
    learners: ModuleType, tmp_path: Path, room: int, halvings: int, capfd: pytest.CaptureFixture[str]
) -> None:
    learner = make_small_memory(learners.LineLearner(), room)
    fitted = fit(learner, learners.make_plan(), tmp_path / "small", "line")
    whole = make_small_memory(learners.LineLearner(), 100)
    expected = fit(whole, learners.make_plan(), tmp_path / "large", "line")
    assert fitted.halvings == halvings
    assert max(len(rows) for *_, rows in learner.asked) <= max(room, 1)
    assert torch.allclose(learner.network.weight, whole.network.weight, atol=1e-6)
    losses = [[row["train_loss"] for row in each.history] for each in (fitted, expected)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert ("out of memory with 4 points together" in capfd.readouterr().err) == (halvings > 0)


def test_resumed_fit_halves_from_the_start(learners: ModuleType, tmp_path: Path) -> None:
    fit(make_small_memory(learners.LineLearner(), 2), learners.make_plan(epochs=4), tmp_path, "line")
    learner = make_small_memory(learners.LineLearner(), 2)
    assert fit(learner, learners.make_plan(epochs=4), tmp_path, "line").halvings == 1


def test_sample_that_does_not_fit_is_an_error(learners: ModuleType, tmp_path: Path) -> None:
    learner = make_small_memory(learners.LineLearner(), 0)
    with pytest.raises(NoMemoryError, match=r"out of memory with one at a time \(points\)"):
        fit(learner, learners.make_plan(), tmp_path, "line")


def test_memory_that_runs_out_in_the_optimiser_is_told(
    learners: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr(torch.optim.AdamW, "step", full)
    with pytest.raises(NoMemoryError, match=r"^out of memory in training line: CUDA out of memory.*batch size"):
        fit(learners.LineLearner(), learners.make_plan(), tmp_path, "line")


def test_other_errors_pass(learners: ModuleType, tmp_path: Path) -> None:
    learner = learners.LineLearner()
    learner.loss = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        fit(learner, learners.make_plan(), tmp_path, "line")
