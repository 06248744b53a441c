"""The trials of a search: proposed by optuna, and kept in its journal as soon as they have ended.

The journal holds ended trials alone. A trial is proposed from those before it and from a seed of its own number, so a
search that was killed proposes the same trials as one that was not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from mammoflow.config.base import Settings
from mammoflow.config.search_space import Range, SpaceSettings, is_whole, present_value

optuna.logging.set_verbosity(optuna.logging.WARNING)

FIGURES, DEVIATION, SECONDS, REASON = "figures", "standard_deviation", "seconds", "reason"
"""What a trial notes beside its value."""

STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class Trials:
    """The trials of a search.

    Parameters
    ----------
    file
        The journal; made where it is not there.
    search
        Space, sampler, pruner and seed.
    settings
        The settings that are searched.
    """

    def __init__(self, file: Path, search: SpaceSettings, settings: Settings) -> None:
        self.search = search
        self.whole = {
            key: is_whole(space, present_value(settings, key))
            for key, space in search.space.items()
            if isinstance(space, Range)
        }
        _cut_unfinished_line(file)
        self.study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(file))),
            study_name="search",
            direction="maximize",
            load_if_exists=True,
        )

    def ended(self) -> list[FrozenTrial]:
        """Return the trials that have ended, by number."""
        return self.study.get_trials(deepcopy=False)

    def propose(self) -> tuple[Trial, dict[str, Any]]:
        """Propose the next trial.

        Returns
        -------
        trial, values
            The trial, which belongs to a study in memory until `end` writes it; and its values by key.
        """
        before = self.ended()
        sampler, pruner = self._sampler(len(before)), self._pruner()
        memory = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
        memory.add_trials(before)
        if self.search.sampler == "grid":
            memory.enqueue_trial(self._grid_point(len(before)))
        trial = memory.ask()
        return trial, {key: self._suggested(trial, key) for key in self.search.space}

    def end(
        self, trial: Trial, state: TrialState, figures: list[float], seconds: float, reason: str = ""
    ) -> FrozenTrial:
        """Write how a trial has ended.

        Parameters
        ----------
        trial
            What `propose` gave.
        state
            Complete, pruned or failed.
        figures
            Figure of each inner fold that was done, such as its AUC; of a complete trial the mean is its value.
        seconds
            Of its trainings.
        reason
            Why it failed.
        """
        noted = {FIGURES: figures, DEVIATION: deviation(figures), SECONDS: round(seconds, 2), REASON: reason}
        for name, value in noted.items():
            trial.set_user_attr(name, value)
        value = math.fsum(figures) / len(figures) if state == TrialState.COMPLETE else None
        ended = trial.study.tell(trial, value, state=state)
        self.study.add_trial(ended)
        return ended

    def values(self, trial: FrozenTrial) -> dict[str, Any]:
        """Return the values of an ended trial by key."""
        return {key: self._value(key, trial.params[key]) for key in self.search.space}

    def _suggested(self, trial: Trial, key: str) -> Any:
        space = self.search.space[key]
        if not isinstance(space, Range):
            return self._value(key, trial.suggest_categorical(key, [json.dumps(value) for value in space]))
        if self.whole[key]:
            return trial.suggest_int(key, int(space.low), int(space.high), log=space.log)
        return trial.suggest_float(key, float(space.low), float(space.high), log=space.log)

    def _value(self, key: str, stored: Any) -> Any:
        """Return the value of a key: those of a list are stored as JSON, because optuna knows no lists as values."""
        return stored if isinstance(self.search.space[key], Range) else json.loads(stored)

    def _grid_point(self, number: int) -> dict[str, Any]:
        lists = [values for values in self.search.space.values() if isinstance(values, list)]
        point = next(islice(product(*lists), number, None))
        return {key: json.dumps(value) for key, value in zip(self.search.space, point, strict=True)}

    def _sampler(self, number: int) -> BaseSampler:
        seed = int(np.random.SeedSequence([self.search.seed, number]).generate_state(1)[0])
        return TPESampler(seed=seed) if self.search.sampler == "tpe" else RandomSampler(seed=seed)

    def _pruner(self) -> BasePruner:
        return MedianPruner() if self.search.pruner == "median" else NopPruner()


def deviation(figures: list[float]) -> float | None:
    """Return the standard deviation over inner folds; None below two of them."""
    return float(np.std(figures, ddof=1)) if len(figures) > 1 else None


def best_trial(trials: list[FrozenTrial]) -> FrozenTrial | None:
    """Return the complete trial of the highest value, of equal ones the first; None where none is complete."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return max(complete, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)


def parameter_text(value: Any) -> Any:
    """Return a value as a table holds it: null and lists as JSON, everything else as it is."""
    return json.dumps(value) if value is None or isinstance(value, list | Mapping) else value


def _cut_unfinished_line(file: Path) -> None:
    """Remove a last line that a killed process has not ended, so that the next line does not join it."""
    content = file.read_bytes() if file.is_file() else b""
    if not content.endswith(b"\n") and content:
        with file.open("r+b") as journal:
            journal.truncate(content.rfind(b"\n") + 1)
