"""The loop of a search: trials that are proposed, trained on inner folds, and kept as soon as they have ended."""

from __future__ import annotations

import math
import shutil
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Generic

from optuna.trial import FrozenTrial, Trial, TrialState
from pydantic import ValidationError

from mammoflow.config.base import Model
from mammoflow.config.explanation import explain
from mammoflow.errors import StudyError
from mammoflow.storage.files import text_digest
from mammoflow.training.search.trials import DEVIATION, REASON, STATES, Trials, best_trial

JOURNAL = "trials.log"
"""Name of optuna's journal in the folder of the state."""


class Objective(ABC, Generic[Model]):
    """What the trials of a search train, and the figure of an inner fold.

    Attributes
    ----------
    name
        Name of the search.
    figure
        What the value of a trial is, such as `mean AUC`.
    folds
        How many inner folds are held out.
    """

    name: str
    figure: str
    folds: int

    @abstractmethod
    def settings(self, values: dict[str, Any]) -> Model:
        """Return the settings at a point of the space, with the seed and the epochs of the search."""

    @abstractmethod
    def train(self, settings: Model, fold: int, state: Path, label: str) -> tuple[float, float]:
        """Train on all inner folds but one.

        Parameters
        ----------
        settings
            What `settings` returned.
        fold
            The inner fold that is held out.
        state
            Folder for the state of this training alone.
        label
            What progress lines and messages call the training.

        Returns
        -------
        figure, seconds
            The figure of the held-out patients, and the seconds of the training.

        Raises
        ------
        StudyError
            If the training fails at this point of the space.
        """

    def begin(self, settings: Model) -> None:
        """Prepare what the trainings of a trial share; an error ends the search."""
        return

    def failed(self, settings: Model) -> None:
        """Forget what a failed training may have changed."""
        return


def run_trials(objective: Objective[Model], trials: Trials, planned: int, state: Path) -> tuple[list[FrozenTrial], int]:
    """Make trials until as many as planned have ended.

    Parameters
    ----------
    objective
        What a trial trains.
    trials
        Those that earlier calls have made, and where further ones are kept.
    planned
        Number of trials.
    state
        Folder for the states of trainings. A trial that was interrupted continues from its last epoch.

    Returns
    -------
    shown, before
        The planned trials, as an earlier call may have made more; and how many had ended before this call.
    """
    before = len(trials.ended())
    while len(trials.ended()) < planned:
        trial, values = trials.propose()
        _say(objective, _run(objective, trials, trial, values, state), trials, planned)
    return trials.ended()[:planned], before


def _run(objective: Objective[Model], trials: Trials, trial: Trial, values: dict[str, Any], state: Path) -> FrozenTrial:
    """Train on every inner fold that is held out, and write how the trial ended."""
    try:
        settings = objective.settings(values)
    except ValidationError as error:  # before the first job only pairs of values were looked at
        return trials.end(trial, TrialState.FAIL, [], 0.0, explain(error, "the settings of the trial"))
    folder = state / f"trial-{trial.number}-{text_digest(settings.model_dump_json())[:16]}"
    figures: list[float] = []
    seconds, ended, reason = 0.0, TrialState.COMPLETE, ""
    objective.begin(settings)
    for fold in range(objective.folds):
        label = f"{objective.name}, trial {trial.number}, inner fold {fold}"
        try:
            figure, spent = objective.train(settings, fold, folder / f"fold-{fold}", label)
        except StudyError as error:  # such as a learning rate at which no epoch gives finite weights
            ended, reason = TrialState.FAIL, str(error)
            objective.failed(settings)
            break
        figures, seconds = [*figures, figure], seconds + spent
        trial.report(math.fsum(figures) / len(figures), fold)
        if fold + 1 < objective.folds and trial.should_prune():
            ended = TrialState.PRUNED
            break
    written = trials.end(trial, ended, figures, seconds, reason)
    shutil.rmtree(folder, ignore_errors=True)
    return written


def _say(objective: Objective[Model], trial: FrozenTrial, trials: Trials, planned: int) -> None:
    """Say on standard error how a trial ended, and which is the best so far."""
    best = best_trial(trials.ended())
    spread = trial.user_attrs[DEVIATION]
    found = f"{objective.figure} {trial.value:.4f}" if trial.value is not None else str(trial.user_attrs[REASON])
    found += f" (standard deviation {spread:.4f})" if spread is not None else ""
    so_far = f"; best so far {best.value:.4f}, trial {best.number}" if best else ""
    print(
        f"search {objective.name}: trial {trial.number} of {planned} {STATES[trial.state]}, {found}{so_far}",
        file=sys.stderr,
        flush=True,
    )
