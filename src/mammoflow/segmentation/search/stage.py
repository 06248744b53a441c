"""The stage that searches the options of a segmentation training: trials over inner folds of the training patients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mammoflow.config.architectures import ARCHITECTURE_MODULES, module_of
from mammoflow.config.base import Settings
from mammoflow.config.inference import EncoderUse
from mammoflow.config.model_search import OBJECTIVES, ModelSearchJob
from mammoflow.config.recipes import RECIPES, recipe_modules
from mammoflow.config.search_space import candidates, with_values
from mammoflow.config.training import TRAINERS
from mammoflow.errors import ConfigError, StudyError
from mammoflow.run.provenance import code_digest
from mammoflow.run.runtime import choose_device, seed_everything, set_threads
from mammoflow.segmentation.automatic.encoder import encoder_weights_file
from mammoflow.segmentation.search.inner_folds import InnerShards
from mammoflow.segmentation.training_task import TrainingTask
from mammoflow.storage.files import file_digest
from mammoflow.training.loop import fit
from mammoflow.training.search.loop import JOURNAL, Objective, run_trials
from mammoflow.training.search.results import Searched, write_search
from mammoflow.training.search.trials import Trials
from mammoflow.training.state import training_state
from mammoflow.weights.registry import ModelSpec, find_weights

DICE = "validation_dice"
"""What the recipes that can be searched say of the weights that they keep."""


def search_segmenter(
    job: ModelSearchJob,
    name: str,
    architecture: str,
    start: ModelSpec | None,
    images: list[Path],
    store: Path,
    default_margin_mm: float,
    output: Path,
    threads: int,
    use: EncoderUse | None = None,
    lesion_weights: Path | None = None,
) -> None:
    """Try options of a training on inner folds of the training patients, and write what was found.

    The value of a trial is the mean over the inner folds that are held out: of the Dice of the images of an automatic
    model, or of the lesions of a tuned one, in the epoch that the training keeps. Patients in validation and test are
    left out before anything is read of them. Trials that have ended are kept beside `output`, so the same call
    continues after a stop, and with more trials.

    Parameters
    ----------
    job
        The search, and how the model is trained.
    name
        Name of the search.
    architecture, start, images, store, default_margin_mm, use, lesion_weights
        As in `train_segmenter`.
    output
        Folder for trials.csv, best.yaml and search.json.
    threads
        Processors that this job may use.

    Raises
    ------
    ConfigError
        If the recipe has no Dice, or does not fit the model.
    StudyError
        If there are too few training patients for the inner folds, or every trial failed.
    SystemExit
        With code 143, after SIGTERM; the same call continues.
    WeightsError
        If the weights to start from are missing, not the published ones, or carry code.
    """
    if job.training.recipe not in OBJECTIVES:
        raise ConfigError(
            f"the search {name} is of a model with the recipe {job.training.recipe}, which computes no Dice of "
            f"validation patients; expected the recipe {' or '.join(OBJECTIVES)}"
        )
    set_threads(threads)
    device = choose_device(job.device)
    options: Any = job.training.options
    files = (images, store, default_margin_mm, use or EncoderUse(), device, lesion_weights)
    task = TrainingTask(job.search.model, options, architecture, start, *files)
    inner = InnerShards.draw(images, job.search.inner_folds, job.search.seed, options.sources)
    state = _state(job, task, inner, output)
    shards = [inner.write(fold, state / "inner" / f"fold-{fold}") for fold in range(job.search.trained_folds)]
    trials = Trials(state / JOURNAL, job.search, options)
    objective = _Objective(job, name, len(shards), task, shards)
    shown, before = run_trials(objective, trials, job.search.planned_trials, state)
    write_search(output, _searched(job, name, task, inner), trials, shown, before)


def _state(job: ModelSearchJob, task: TrainingTask, inner: InnerShards, output: Path) -> Path:
    """Return the folder of the trials: another search, other options, patients, inputs or code have another one."""
    points = [job.training.model_copy(update={"options": each}) for each in _points(job)]
    members = dict.fromkeys(module for point in points for module in recipe_modules(point))
    architecture = ARCHITECTURE_MODULES.module(module_of(task.architecture))
    return training_state(
        output,
        job.search.model_dump_json(exclude={"trials"}),
        job.training.model_dump_json(),
        task.architecture,
        task.start.name if task.start else "",
        str(task.margin_mm),
        repr(task.use),
        *(file_digest(file) for file in _weights(task)),
        inner.content(),
        code=code_digest(__name__, architecture, *members, TRAINERS.module(job.training.trainer)),
    )


def _points(job: ModelSearchJob) -> list[Settings]:
    """Return the options at points of the space that together name every member."""
    options: Settings = job.training.options
    return list(candidates(job.search, options))


def _weights(task: TrainingTask) -> list[Path]:
    """Return the weights files that any training of the search reads."""
    options, labels = task.options, getattr(task.options, "labels", None)
    encoder = getattr(options, "encoder_weights", "")
    files = [find_weights(task.start)] if task.start else []
    files += [encoder_weights_file(task.architecture, encoder)] if encoder else []
    if labels is not None and labels.kind == "boxes":
        files.append(
            find_weights(ModelSpec(labels.model, labels.model, Path(labels.weights) if labels.weights else None))
        )
    return files + ([task.lesion_weights] if task.lesion_weights else [])


def _searched(job: ModelSearchJob, name: str, task: TrainingTask, inner: InnerShards) -> Searched:
    """Return what the results say of the search."""
    search, held_out = job.search, job.search.trained_folds
    folds = f"{inner.count} inner folds" if held_out == inner.count else f"{held_out} of {inner.count} inner folds"
    return Searched(
        name,
        search,
        "segmentation model",
        search.model,
        _Objective.figure,
        folds,
        ("segmentation", "models", search.model, "train", "options"),
        {
            "architecture": task.architecture,
            "from": task.start.name if task.start else "",
            "dice_of": f"{OBJECTIVES[job.training.recipe]} of the held-out patients",
            "default_margin_mm": task.margin_mm,
            "training_settings": job.training.model_dump(mode="json"),
            "folds": inner.counts()[:held_out],
        },
        inner.patients(),
        inner.phantom,
    )


@dataclass(frozen=True)
class _Objective(Objective[Settings]):
    """The mean Dice of the held-out patients of an inner fold."""

    job: ModelSearchJob
    name: str
    folds: int
    task: TrainingTask
    shards: Sequence[list[Path]]
    figure = "mean Dice"

    def settings(self, values: dict[str, Any]) -> Settings:
        """Return the options at a point of the space, with the seed and the epochs of the search."""
        search, options = self.job.search, self.job.training.options
        fixed: dict[str, Any] = {"seed": search.seed, "device": self.job.device}
        if search.epochs is not None:
            fixed["epochs"] = search.epochs
        return with_values(options, {**fixed, **values})

    def train(self, settings: Settings, fold: int, state: Path, label: str) -> tuple[float, float]:
        """Return the Dice of the held-out patients of a fold, and the seconds of the training."""
        training = self.job.training
        seed_everything(self.job.search.seed)  # of the first weights
        task = replace(self.task, options=settings, images=self.shards[fold])
        prepared = RECIPES.load(training.recipe).prepare(task)
        trainer = TRAINERS.load(training.trainer)
        learner = trainer.wrap(prepared.learner, prepared.unlabelled, training.trainer_options)
        fitted = fit(learner, prepared.plan, state, label)
        dice = float(prepared.finish(fitted).facts[DICE])
        if not math.isfinite(dice):
            raise StudyError(f"{label}: the Dice of the held-out patients is {dice}; expected a number")
        return dice, fitted.seconds
