"""The stage that searches the settings of a classifier: trials over inner folds of the training patients."""

from __future__ import annotations

import math
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from optuna.trial import FrozenTrial, Trial, TrialState

from mammoflow.classification.batches import choose_workers
from mammoflow.classification.cases import read_cases
from mammoflow.classification.results import case_digest
from mammoflow.classification.samples import Files, Samples
from mammoflow.classification.search.inner_folds import InnerFolds, PreparedInputs, training_cases
from mammoflow.classification.search.results import write_search
from mammoflow.classification.search.trials import DEVIATION, REASON, STATES, Trials, best_trial
from mammoflow.classification.stage import CACHE_PREFIX, Training, join_vectors
from mammoflow.classification.threshold import area_under_curve
from mammoflow.config.classification import NETWORKS, ClassifierSettings
from mammoflow.config.search import candidates, with_values
from mammoflow.config.search_job import SearchJob
from mammoflow.errors import StudyError
from mammoflow.run.provenance import code_digest
from mammoflow.run.runtime import choose_device, set_threads
from mammoflow.storage.files import array_digest, file_digest, text_digest
from mammoflow.training.state import FOLDER, remove_training_state, training_state
from mammoflow.weights.registry import first_weights

JOURNAL = "trials.log"
"""Name of optuna's journal in the folder of the state."""


def search_classifier(job: SearchJob, name: str, files: Files, output: Path, threads: int) -> None:
    """Try settings of a classifier on inner folds of the training patients, and write what was found.

    The value of a trial is the mean AUC over the inner folds: each is held out once, and the classifier is trained on
    the others with one seed. Patients in validation and test are left out before anything is read of them. Trials that
    have ended are kept beside `output`, so the same call continues after a stop, and with more trials.

    Parameters
    ----------
    job
        The search, and the classifier's settings.
    name
        Name of the search.
    files
        What earlier stages wrote: what any trial needs.
    output
        Folder for trials.csv, best.yaml and search.json.
    threads
        Processors that this job may use.

    Raises
    ------
    StudyError
        If there are too few training patients for the inner folds, or every trial failed.
    SystemExit
        With code 143, after SIGTERM; the same call continues.
    """
    set_threads(threads)
    device = choose_device(job.device)
    cases = training_cases(read_cases(files.images))
    folds = InnerFolds.draw(cases, job.search.inner_folds, job.search.seed)
    cache = output.parent / FOLDER / f"{CACHE_PREFIX}{output.name}"
    inputs = PreparedInputs(cases, files, cache, threads, device)
    source = NETWORKS.load(job.classifier.network).WEIGHTS
    weights = first_weights(job.classifier.network, job.classifier.weights, source, files.weights)
    state = _state(job, files, output, inputs, folds, weights)
    trials = Trials(state / JOURNAL, job.search, job.classifier)
    before = len(trials.ended())
    objective = _Objective(job, name, folds, inputs, device, weights, choose_workers(threads, device), state)
    while len(trials.ended()) < job.search.planned_trials:
        trial, values = trials.propose()
        ended = objective.run(trials, trial, values)
        _say(name, ended, trials, job.search.planned_trials)
    shown = trials.ended()[: job.search.planned_trials]  # an earlier call may have made more
    write_search(output, name, job, folds, trials, shown, before)
    remove_training_state(output.with_name(cache.name))


def _state(
    job: SearchJob, files: Files, output: Path, inputs: PreparedInputs, folds: InnerFolds, weights: Path | None
) -> Path:
    """Return the folder of the trials: another search, other settings, patients, inputs or code have another one."""
    first = next(candidates(job.search, job.classifier))
    samples = inputs.of(first)
    for fold in range(folds.count):
        folds.samples_of(samples, fold).check(both_in_validation=True)
    tables = [*(folder / "masks.parquet" for folder in files.masks), *files.prompts, *files.features]
    return training_state(
        output,
        job.search.model_dump_json(exclude={"trials"}),
        job.classifier.model_dump_json(),
        file_digest(weights) if weights else "random weights",
        samples.digest,
        case_digest(folds.cases),
        array_digest(np.asarray(folds.cases.images["digest"], dtype=np.str_)),
        *(file_digest(table) for table in tables),
        code=code_digest("mammoflow.classification.search.stage", *first.modules(), *samples.further_modules),
    )


def _say(name: str, trial: FrozenTrial, trials: Trials, planned: int) -> None:
    """Say on standard error how a trial ended, and which is the best so far."""
    best = best_trial(trials.ended())
    spread = trial.user_attrs[DEVIATION]
    found = f"mean AUC {trial.value:.4f}" if trial.value is not None else str(trial.user_attrs[REASON])
    found += f" (standard deviation {spread:.4f})" if spread is not None else ""
    so_far = f"; best so far {best.value:.4f}, trial {best.number}" if best else ""
    print(
        f"search {name}: trial {trial.number} of {planned} {STATES[trial.state]}, {found}{so_far}",
        file=sys.stderr,
        flush=True,
    )


@dataclass(frozen=True)
class _Objective:
    """What the trials of a search share."""

    job: SearchJob
    name: str
    folds: InnerFolds
    inputs: PreparedInputs
    device: torch.device
    weights: Path | None
    workers: int
    state: Path

    def run(self, trials: Trials, trial: Trial, values: dict[str, Any]) -> FrozenTrial:
        """Train on every inner fold and write how the trial ended."""
        settings = self._settings(values)
        state = self.state / f"trial-{trial.number}-{text_digest(settings.model_dump_json())[:16]}"
        aucs: list[float] = []
        seconds, ended, reason = 0.0, TrialState.COMPLETE, ""
        samples = self.inputs.of(settings)
        for fold in range(self.folds.count):
            label = f"{self.name}, trial {trial.number}, inner fold {fold}"
            try:
                auc, spent = self._fold(settings, samples, fold, state / f"fold-{fold}", label)
            except StudyError as error:  # such as a learning rate at which no epoch gives finite weights
                ended, reason = TrialState.FAIL, str(error)
                self.inputs.forget(settings)  # what is trained of an input is not as it was
                break
            aucs, seconds = [*aucs, auc], seconds + spent
            trial.report(math.fsum(aucs) / len(aucs), fold)
            if fold + 1 < self.folds.count and trial.should_prune():
                ended = TrialState.PRUNED
                break
        written = trials.end(trial, ended, aucs, seconds, reason)
        shutil.rmtree(state, ignore_errors=True)
        return written

    def _settings(self, values: dict[str, Any]) -> ClassifierSettings:
        """Return the classifier's settings at a point of the space, with the seed and the epochs of the search."""
        search = self.job.search
        fixed: dict[str, Any] = {"seeds": [search.seed], "calibrate": "none", "device": self.job.device}
        if search.epochs is not None:
            fixed["epochs"] = search.epochs
        return with_values(self.job.classifier, {**fixed, **values})

    def _fold(
        self, settings: ClassifierSettings, samples: Samples, fold: int, state: Path, label: str
    ) -> tuple[float, float]:
        """Return the AUC on the held-out patients of a fold, and the seconds of the training."""
        cases, view = self.folds.cases_of(fold), self.folds.samples_of(samples, fold)
        view.check(both_in_validation=True)
        vectors = join_vectors(settings, cases, self.inputs.files, view)
        training = Training(settings, label, cases, view, vectors, self.device, self.workers, self.weights)
        trained = training.run(self.job.search.seed, state)
        held_out = (cases.lesions["split"] == "validation").to_numpy()
        known = held_out & np.isfinite(cases.labels) & np.isfinite(trained.logits)
        auc = area_under_curve(cases.labels[known], trained.logits[known])
        if not math.isfinite(auc):
            raise StudyError(
                f"{label}: {int(known.sum())} lesions of the inner fold have a label and a prediction, all of one "
                "class; expected both. Set inner_folds lower, or change what leaves lesions out of the input"
            )
        return auc, math.fsum(fitted.seconds for fitted in trained.fits.values())
