"""The one training loop: epochs of steps, validation, the epoch that is kept, resume, and memory that runs out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mammoflow.errors import StudyError
from mammoflow.run.memory import peak_memory, watch_peak_memory
from mammoflow.run.runtime import deterministic, progress, seed_everything
from mammoflow.training.averaging import Average
from mammoflow.training.batch_norm import explained_single_values
from mammoflow.training.choice import History, choose_epoch, patience_ended
from mammoflow.training.learner import Learner
from mammoflow.training.memory import Halving, explained_memory
from mammoflow.training.plan import Plan
from mammoflow.training.state import Progress, read_kept, read_progress, write_kept, write_progress
from mammoflow.training.termination import Termination, end_process

EPOCH_SEEDS = 100_003
"""Distance between the seeds of two seeds' epochs: a prime beyond any number of epochs."""


@dataclass(frozen=True)
class Fit:
    """What came of a fit.

    Attributes
    ----------
    history
        One row for each epoch: `epoch` (counted from 1), `train_loss`, `learning_rate`, and what the learner validates.
    chosen_epoch
        The epoch that was kept.
    resumed_from
        Epochs that earlier processes had done.
    seconds
        Of all processes that took part.
    peak_memory
        Most bytes in use: of the GPU, or of the process where it computes on the CPU.
    halvings
        How often a batch was halved because memory ran out.
    computed
        Type of the device and precision, in the order of the processes that took part; one pair where all had the same.
    """

    history: History
    chosen_epoch: int
    resumed_from: int
    seconds: float
    peak_memory: int
    halvings: int
    computed: tuple[tuple[str, str], ...] = ()


def fit(learner: Learner, plan: Plan, state: Path, label: str) -> Fit:
    """Train a learner and leave its network with the kept weights, in evaluation mode, on the plan's device.

    Training state goes to `state` after each epoch; a call that finds one there continues from it, and on a CPU it ends
    with the same weights as an unbroken one.

    Parameters
    ----------
    learner
        What is trained.
    plan
        Limits, rates, seed, device.
    state
        Folder for the training state, of this fit alone.
    label
        What the progress lines call it.

    Raises
    ------
    StudyError
        If there is no batch, nothing is trained, batch normalisation has a batch of one value per channel, or no epoch
        gave a finite figure and finite weights.
    NoMemoryError
        If memory runs out with a batch that cannot be split, or in what is not halved.
    SystemExit
        With code 143, after SIGTERM.
    """
    return _Fitting(learner, plan, state, label).run()


class _Fitting:
    """One call of `fit`."""

    def __init__(self, learner: Learner, plan: Plan, folder: Path, label: str) -> None:
        self.learner, self.plan, self.folder, self.label = learner, plan, folder, label
        self.epoch_steps = learner.steps()
        if self.epoch_steps < 1:
            raise StudyError(f"training {label} has no batch; expected at least one training sample")
        self.steps = plan.epochs * self.epoch_steps
        learner.network.to(plan.device)
        learner.begin(plan.epochs)
        self.groups = learner.groups(plan.learning_rate)
        if not any(item.requires_grad for group in self.groups for item in group["params"]):
            raise StudyError(
                f"training {label} changes no weight, because all of them are frozen; expected at least one that is "
                "trained. Freeze fewer parts, or take another method"
            )
        self.optimiser = torch.optim.AdamW(self.groups, lr=plan.learning_rate, weight_decay=plan.weight_decay)
        self.rates = [float(group["lr"]) for group in self.optimiser.param_groups]
        self.parameters: list[Tensor] = [item for group in self.optimiser.param_groups for item in group["params"]]
        self.average = Average(plan.averaging, self.steps // 2)
        self.halving = Halving(learner)
        self.progress = Progress()

    @property
    def history(self) -> History:
        """Return the rows of the epochs so far."""
        return self.progress.history

    def run(self) -> Fit:
        """Continue from the state that is there, train to the end, and load the kept weights."""
        self._restore()
        resumed_from = len(self.history)
        if not self.progress.finished:
            self._train()
        chosen = self._load_kept()
        done = self.progress
        return Fit(
            done.history, chosen, resumed_from, done.seconds, done.peak_memory, done.halvings, tuple(done.computed)
        )

    def _restore(self) -> None:
        """Take over the state of an earlier process, and take note of where this one computes."""
        saved = read_progress(self.folder)
        self.progress = saved or self.progress
        self.progress.note_computing(self.label, self.plan.device.type, self.plan.precision)
        if saved is None:
            return
        self.learner.load_state(saved.learner)
        self.optimiser.load_state_dict(saved.optimiser)
        self.average.load(saved.average, self.learner.state())
        self.halving.times = saved.halvings

    def _train(self) -> None:
        """Train epoch by epoch, and end the process where SIGTERM asks for it."""
        watch_peak_memory(self.plan.device)
        left = self.steps - len(self.history) * self.epoch_steps
        ticks = progress(range(left), f"training {self.label}, batches")
        with (
            Termination() as termination,
            deterministic(),
            explained_single_values(self.label),
            explained_memory(self.label),
        ):
            try:
                while not self.progress.finished:
                    self._epoch(len(self.history), ticks, termination)
                    termination.check()
            # SIGTERM may also end the workers that load the batches, which raises an error here
            except Exception as error:
                if not termination.requested:
                    raise
                end_process(self.label, len(self.history), error)

    def _epoch(self, epoch: int, ticks: Iterator[int], termination: Termination) -> None:
        """Train and validate one epoch and write the state."""
        start = time.monotonic()
        # each epoch has its own seed, so a resumed run draws what an unbroken one would have drawn
        seed_everything(self.plan.seed * EPOCH_SEEDS + epoch)
        self.learner.mode(training=True)
        losses: list[Tensor] = []
        sizes: list[int] = []
        for step, batch in enumerate(self.learner.batches(epoch)):
            termination.check()
            next(ticks, None)
            losses.append(self._step(batch, epoch, step))
            sizes.append(self.learner.size(batch))
        if len(losses) != self.epoch_steps:
            raise StudyError(
                f"training {self.label} gave {len(losses)} batches in epoch {epoch + 1}, expected {self.epoch_steps}"
            )
        rate = float(self.optimiser.param_groups[0]["lr"])
        values = torch.stack(losses).double().cpu()
        weights = torch.tensor(sizes, dtype=torch.float64)
        row = {"epoch": epoch + 1, "train_loss": float((values * weights).sum() / weights.sum()), "learning_rate": rate}
        self._validate(row, epoch)
        self._write(time.monotonic() - start)

    def _step(self, batch: Any, epoch: int, step: int) -> Tensor:
        """Take one step of the optimiser, over as many samples at a time as memory holds, and return the loss."""
        whole = self.learner.size(batch)

        def gradients(part: Any) -> tuple[Tensor, Sequence[Tensor | None]]:
            share = self.learner.size(part) / whole
            with self._autocast():
                loss = self.learner.loss(part, epoch, step) * share
            return loss.detach(), torch.autograd.grad(loss, self.parameters, allow_unused=True)

        self.optimiser.zero_grad()
        total: Tensor | None = None
        # gradients are taken at once and added after, so that a part that ran out of memory leaves nothing behind
        for loss, gradient_of in self.halving.run(batch, gradients):
            total = loss if total is None else total + loss
            for parameter, gradient in zip(self.parameters, gradient_of, strict=True):
                if gradient is not None:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        if self.plan.largest_gradient is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.plan.largest_gradient)
        place = epoch * self.epoch_steps + step
        self._set_rates(place)
        try:
            self.optimiser.step()
        except RuntimeError as error:
            if "without overflow" not in str(error):
                raise
            raise StudyError(
                f"training {self.label} takes steps that are too large for a number. Lower the learning rate (now "
                f"{self.plan.learning_rate:g}) or the weight decay (now {self.plan.weight_decay:g})"
            ) from error
        self.learner.after_step()
        if self.plan.averaging is not None:
            self.average.update(self.learner.state(), place)
        if total is None:
            raise StudyError(f"training {self.label} has an empty batch; expected at least one sample in each")
        return total

    def _set_rates(self, place: int) -> None:
        """Give the optimiser the rates of a step."""
        share = self.plan.share(place, self.steps, self.history)
        beta = self.plan.beta(place, self.steps)
        for group, highest in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = highest * share
            if beta is not None:
                group["betas"] = (beta, group["betas"][1])

    def _autocast(self) -> torch.autocast:
        """Compute in the precision of the plan.

        Without its cache of cast weights, the gradients of a weight that is used several times are added in fp32.
        """
        half = self.plan.precision == "bf16-mixed"
        return torch.autocast(self.plan.device.type, torch.bfloat16, enabled=half, cache_enabled=False)

    def _validate(self, row: dict[str, float], epoch: int) -> None:
        """Add the row of an epoch to the history and keep its weights where they are the best so far."""
        watched = self.learner.watched
        with self.average.applied(self.learner):
            self.learner.mode(training=False)
            figures: Mapping[str, float] = {}
            if self.plan.validates(epoch):
                with torch.no_grad(), self._autocast():
                    figures = self.learner.validate(epoch)
            if watched is not None and watched.figure not in figures:
                raise StudyError(f"validation gave {sorted(figures)}, expected {watched.figure} among them")
            self.history.append({**row, **{name: float(value) for name, value in figures.items()}})
            if choose_epoch(self.history, watched, self.plan.epochs) == epoch + 1:
                write_kept(self.folder, self.learner.kept())

    def _write(self, seconds: float) -> None:
        """Write the state after an epoch."""
        done, plan = self.progress, self.plan
        state = self.learner.state()
        # weights that are not finite stay so: nothing better can follow
        lost = not math.isfinite(done.history[-1]["train_loss"]) and not _finite(state)
        ended = patience_ended(done.history, plan.stop or self.learner.watched, plan.epochs, plan.patience)
        done.finished = len(done.history) >= plan.epochs or ended or lost
        done.learner, done.optimiser, done.average = state, self.optimiser.state_dict(), self.average.tensors
        done.halvings = self.halving.times
        done.seconds += seconds
        done.peak_memory = max(done.peak_memory, peak_memory(plan.device))
        write_progress(self.folder, done)

    def _load_kept(self) -> int:
        """Load the kept weights and return their epoch."""
        watched = self.learner.watched
        chosen = choose_epoch(self.history, watched, self.plan.epochs)
        rate = f"Lower the learning rate (now {self.plan.learning_rate:g})"
        figure = watched.figure.replace("_", " ") if watched else "train loss"
        if chosen is None:
            raise StudyError(
                f"training {self.label} gave a {figure} that is not a number in every epoch; expected a finite one. "
                f"{rate}"
            )
        weights = read_kept(self.folder)
        if not _finite(weights):
            raise StudyError(
                f"training {self.label} gave weights that are not finite in epoch {chosen}; expected finite "
                f"ones. {rate}"
            )
        self.learner.load_state(weights)
        self.learner.mode(training=False)
        return chosen


def _finite(state: dict[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in state.values())
