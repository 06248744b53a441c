"""The stage that searches the settings of a classifier: trials over inner folds of the training patients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mammoflow.classification.batches import choose_workers
from mammoflow.classification.cases import read_cases
from mammoflow.classification.results import case_digest
from mammoflow.classification.samples import Files
from mammoflow.classification.search.inner_folds import InnerFolds, PreparedInputs, training_cases
from mammoflow.classification.stage import CACHE_PREFIX, Training, join_vectors
from mammoflow.classification.threshold import area_under_curve
from mammoflow.config.classification import NETWORKS, ClassifierSettings
from mammoflow.config.search_job import SearchJob
from mammoflow.config.search_space import candidates, with_values
from mammoflow.errors import StudyError
from mammoflow.run.provenance import code_digest
from mammoflow.run.runtime import choose_device, set_threads
from mammoflow.storage.files import array_digest, file_digest
from mammoflow.tables.cohort import made_of_phantoms
from mammoflow.training.search.loop import JOURNAL, Objective, run_trials
from mammoflow.training.search.results import Searched, write_search
from mammoflow.training.search.trials import Trials
from mammoflow.training.state import FOLDER, remove_training_state, training_state
from mammoflow.weights.registry import first_weights


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
    shared = (folds, inputs, device, weights, choose_workers(threads, device))
    objective = _Objective(job, name, folds.count, *shared)
    shown, before = run_trials(objective, trials, job.search.planned_trials, state)
    write_search(output, _searched(job, name, folds), trials, shown, before)
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
        samples.rows_digest(),
        case_digest(folds.cases),
        array_digest(np.asarray(folds.cases.images["digest"], dtype=np.str_)),
        *(file_digest(table) for table in tables),
        code=code_digest("mammoflow.classification.search.stage", *first.modules(), *samples.further_modules),
    )


def _searched(job: SearchJob, name: str, folds: InnerFolds) -> Searched:
    """Return what the results say of the search."""
    lesions = folds.cases.lesions
    return Searched(
        name,
        job.search,
        "classifier",
        job.search.classifier,
        _Objective.figure,
        f"{folds.count} inner folds",
        ("classification", "classifiers", job.search.classifier),
        {"classifier_settings": job.classifier.model_dump(mode="json"), "folds": folds.counts()},
        (lesions["source"] + "/" + lesions["patient_id"]).tolist(),
        made_of_phantoms(lesions),
    )


@dataclass(frozen=True)
class _Objective(Objective[ClassifierSettings]):
    """The AUC of the held-out patients of an inner fold."""

    job: SearchJob
    name: str
    folds: int
    inner: InnerFolds
    inputs: PreparedInputs
    device: torch.device
    weights: Path | None
    workers: int
    figure = "mean AUC"

    def begin(self, settings: ClassifierSettings) -> None:
        """Prepare the samples."""
        self.inputs.of(settings)

    def failed(self, settings: ClassifierSettings) -> None:
        """Prepare the samples anew for the next trial, because what is trained of an input is not as it was."""
        self.inputs.forget(settings)

    def settings(self, values: dict[str, Any]) -> ClassifierSettings:
        """Return the classifier's settings at a point of the space, with the seed and the epochs of the search."""
        search = self.job.search
        fixed: dict[str, Any] = {"seeds": [search.seed], "calibrate": "none", "device": self.job.device}
        if search.epochs is not None:
            fixed["epochs"] = search.epochs
        return with_values(self.job.classifier, {**fixed, **values})

    def train(self, settings: ClassifierSettings, fold: int, state: Path, label: str) -> tuple[float, float]:
        """Return the AUC on the held-out patients of a fold, and the seconds of the training."""
        cases, view = self.inner.cases_of(fold), self.inner.samples_of(self.inputs.of(settings), fold)
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
