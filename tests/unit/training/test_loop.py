"""The training loop on a tiny learner: resume, SIGTERM, patience, the kept epoch, averaging, figures of the history."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from mammoflow.errors import StudyError
from mammoflow.training.learner import Watched
from mammoflow.training.loop import fit
from mammoflow.training.plan import OneCycle
from mammoflow.training.state import KEPT, LAST, read_progress


@pytest.fixture
def survives_sigterm() -> Iterator[None]:
    """Keep this process, should the loop not take the signal."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    yield
    signal.signal(signal.SIGTERM, before)


def test_fit_learns_and_reports(learners: ModuleType, tmp_path: Path) -> None:
    learner = learners.LineLearner()
    fitted = fit(learner, learners.make_plan(), tmp_path, "line")
    assert [row["epoch"] for row in fitted.history] == [1, 2, 3, 4]
    assert list(fitted.history[0]) == ["epoch", "train_loss", "learning_rate", "validation_loss"]
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]
    assert fitted.resumed_from == fitted.halvings == 0
    assert fitted.peak_memory > 10_000_000
    assert not learner.network.training
    best = min(fitted.history, key=lambda row: row["validation_loss"])
    assert fitted.chosen_epoch == best["epoch"]
    assert learner.validate(0)["validation_loss"] == pytest.approx(best["validation_loss"], abs=1e-7)


@pytest.mark.parametrize("changes", [{}, {"averaging": 0.9}, {"schedule": OneCycle(momentum=(0.95, 0.85))}])
def test_killed_fit_continues_bit_for_bit(learners: ModuleType, tmp_path: Path, changes: dict[str, Any]) -> None:
    plan = learners.make_plan(**changes)
    unbroken = learners.LineLearner()
    whole = fit(unbroken, plan, tmp_path / "whole", "line")
    with pytest.raises(learners.Killed):
        fit(learners.KilledLearner(3), plan, tmp_path / "broken", "line")
    assert learners.files_below(tmp_path / "broken") == [KEPT, LAST]
    again = learners.LineLearner(seed=7)  # other weights at the start do not count
    again.seed = 0
    resumed = fit(again, plan, tmp_path / "broken", "line")
    assert resumed.resumed_from == 3
    assert resumed.history == whole.history
    assert resumed.chosen_epoch == whole.chosen_epoch
    learners.assert_same(learners.weights_of(again), learners.weights_of(unbroken))


def test_a_fit_that_continues_in_another_precision_says_so(
    learners: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(learners.Killed):
        fit(learners.KilledLearner(3), learners.make_plan(precision="bf16-mixed"), tmp_path, "line")
    assert "continues on" not in capfd.readouterr().err
    fitted = fit(learners.LineLearner(), learners.make_plan(), tmp_path, "line")
    assert fitted.resumed_from == 3
    assert fitted.computed == (("cpu", "bf16-mixed"), ("cpu", "32-true"))
    said = capfd.readouterr().err
    assert "training line continues on cpu in 32-true after 3 epochs on cpu in bf16-mixed" in said
    assert fit(learners.LineLearner(), learners.make_plan(), tmp_path, "line").computed == fitted.computed
    assert "continues on" not in capfd.readouterr().err


def test_finished_fit_is_loaded_and_not_trained(learners: ModuleType, tmp_path: Path) -> None:
    first, second = learners.LineLearner(), learners.LineLearner(seed=3)
    fit(first, learners.make_plan(), tmp_path, "line")
    assert fit(second, learners.make_plan(), tmp_path, "line").resumed_from == 4
    assert second.asked == []
    learners.assert_same(learners.weights_of(first), learners.weights_of(second))


@pytest.mark.usefixtures("survives_sigterm")
def test_sigterm_ends_with_143_after_the_step(
    learners: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    stopped = learners.StoppedLearner(1)
    with pytest.raises(SystemExit) as stop:
        fit(stopped, learners.make_plan(), tmp_path, "line")
    assert stop.value.code == 143
    assert stopped.asked[-1][:2] == (1, 0)
    assert "stopped by SIGTERM after epoch 1; the same command continues from there" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is handler
    saved = read_progress(tmp_path)
    assert saved is not None
    assert len(saved.history) == 1
    resumed, unbroken = learners.LineLearner(), learners.LineLearner()
    assert fit(resumed, learners.make_plan(), tmp_path, "line").resumed_from == 1
    fit(unbroken, learners.make_plan(), tmp_path / "whole", "line")
    learners.assert_same(learners.weights_of(resumed), learners.weights_of(unbroken))


@pytest.mark.usefixtures("survives_sigterm")
def test_error_that_follows_sigterm_ends_with_143_too(learners: ModuleType, tmp_path: Path) -> None:
    # the signal also ends the workers that load the batches
    learner = learners.LineLearner()

    def fail(batch: Any, epoch: int, step: int) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("DataLoader worker is killed by signal: Terminated")

    learner.loss = fail
    with pytest.raises(SystemExit) as stop:
        fit(learner, learners.make_plan(), tmp_path, "line")
    assert stop.value.code == 143


def test_process_that_sigterm_ends_has_exit_code_143(
    learners: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def train() -> None:
        torch.set_num_threads(1)  # threads of torch do not survive the fork
        fit(learners.StoppedLearner(2), learners.make_plan(), tmp_path, "line")

    process = multiprocessing.get_context("fork").Process(target=train)
    process.start()
    process.join(timeout=120)
    said = capfd.readouterr().err
    assert process.exitcode == 143, said
    assert "after epoch 2; the same command continues" in said


def test_patience_ends_the_training_only_where_it_is_set(learners: ModuleType, tmp_path: Path) -> None:
    figures = [3.0, 2.0, 4.0, 5.0, 1.0, 0.5]
    short = fit(learners.FigureLearner(figures), learners.make_plan(epochs=6, patience=2), tmp_path / "short", "line")
    assert (len(short.history), short.chosen_epoch) == (4, 2)
    whole = fit(learners.FigureLearner(figures), learners.make_plan(epochs=6), tmp_path / "whole", "line")
    assert (len(whole.history), whole.chosen_epoch) == (6, 6)


def test_validation_of_some_epochs_changes_no_weight(learners: ModuleType, tmp_path: Path) -> None:
    fitted = []
    for every in (1, 2):
        learner = learners.LineLearner()
        learner.watched = None
        plan = learners.make_plan(epochs=5, validate_every=every)
        fitted.append((fit(learner, plan, tmp_path / str(every), "line"), learner.state()))
    (each, weights), (some, same_weights) = fitted
    validated = [row["epoch"] for row in some.history if "validation_loss" in row]
    assert validated == [2, 4, 5]
    assert some.chosen_epoch == 5
    assert some.history[-1] == each.history[-1]
    assert all(torch.equal(weights[name], tensor) for name, tensor in same_weights.items())


def test_figures_that_are_not_finite_decide_nothing(learners: ModuleType, tmp_path: Path) -> None:
    nan = math.nan
    learner = learners.FigureLearner([nan, 2.0, nan, 1.0, nan, nan])
    fitted = fit(learner, learners.make_plan(epochs=6, patience=3), tmp_path, "line")
    assert (len(fitted.history), fitted.chosen_epoch) == (6, 4)


def test_nothing_finite_is_an_error_with_label_and_rate(learners: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"training line gave a validation loss .* not a number .*\(now 0\.05\)"):
        fit(learners.FigureLearner([math.nan] * 4), learners.make_plan(), tmp_path, "line")


def test_lost_weights_end_the_training_and_are_an_error(learners: ModuleType, tmp_path: Path) -> None:
    learner = learners.LineLearner()
    learner.watched = None
    learner.y = learner.y * math.nan
    with pytest.raises(StudyError, match="weights that are not finite in epoch 1"):
        fit(learner, learners.make_plan(), tmp_path, "line")


def test_last_epoch_is_kept_where_nothing_is_watched(learners: ModuleType, tmp_path: Path) -> None:
    learner = learners.FigureLearner([1.0, 2.0, 3.0, 4.0])
    learner.watched = None
    assert fit(learner, learners.make_plan(patience=1), tmp_path, "line").chosen_epoch == 4


def test_smoothed_figure_decides(learners: ModuleType, tmp_path: Path) -> None:
    # the best single epoch is the second; the best mean over three ends in the sixth
    figures = [9.0, 0.5, 9.0, 2.0, 2.0, 2.0]
    learner = learners.FigureLearner(figures, Watched("validation_loss", "min", smoothing=3))
    assert fit(learner, learners.make_plan(epochs=6), tmp_path, "line").chosen_epoch == 6


def test_average_of_the_second_half_is_validated_and_kept(learners: ModuleType, tmp_path: Path) -> None:
    learner = learners.LineLearner()
    seen: list[dict[str, torch.Tensor]] = []

    def note() -> None:
        seen.append(learners.weights_of(learner))

    learner.after_step = note
    learner.watched = None
    fit(learner, learners.make_plan(averaging=0.9), tmp_path, "line")
    assert len(seen) == 12
    expected = seen[6]["0.weight"]
    for state in seen[7:]:
        expected = 0.9 * expected + 0.1 * state["0.weight"]
    assert torch.allclose(learner.state()["0.weight"], expected, atol=1e-6)
    assert not torch.allclose(learner.state()["0.weight"], seen[-1]["0.weight"], atol=1e-6)


def test_learner_without_batches_is_an_error(learners: ModuleType, tmp_path: Path) -> None:
    learner = learners.LineLearner()
    learner.steps = lambda: 0
    with pytest.raises(StudyError, match="no batch"):
        fit(learner, learners.make_plan(), tmp_path, "line")
    learner.steps = lambda: 5
    with pytest.raises(StudyError, match="3 batches in epoch 1, expected 5"):
        fit(learner, learners.make_plan(), tmp_path, "line")


def test_validation_without_the_watched_figure_is_an_error(learners: ModuleType, tmp_path: Path) -> None:
    learner = learners.LineLearner()
    learner.watched = Watched("validation_auc", "max")
    with pytest.raises(StudyError, match=r"\['validation_loss'\], expected validation_auc"):
        fit(learner, learners.make_plan(), tmp_path, "line")


def test_a_network_whose_weights_are_all_frozen_is_an_error(learners: ModuleType, tmp_path: Path) -> None:
    learner = learners.LineLearner()
    learner.network.requires_grad_(False)
    with pytest.raises(StudyError, match="training a line changes no weight, because all of them are frozen"):
        fit(learner, learners.make_plan(), tmp_path, "a line")


@pytest.mark.parametrize("of", ["batches", "validation"])
def test_a_batch_that_cannot_be_normalised_is_explained(
    learners: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    learner = learners.LineLearner()
    if of == "batches":
        monkeypatch.setattr(learner, "batches", lambda _epoch: [np.array([row]) for row in range(3)])
    else:
        monkeypatch.setattr(learner, "validate", lambda _epoch: learner.network.train()(learner.x[:1]))
    with pytest.raises(StudyError, match=r"training a line has a batch of one sample.*Set batch_size to 2 or more"):
        fit(learner, learners.make_plan(), tmp_path, "a line")
