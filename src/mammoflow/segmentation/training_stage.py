"""The stage that trains a segmentation model by a recipe: image shards in, weights and their record out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mammoflow.config.architectures import ARCHITECTURE_MODULES, module_of
from mammoflow.config.inference import EncoderUse
from mammoflow.config.recipes import RECIPES, RecipeSettings, recipe_modules
from mammoflow.config.training import TRAINERS
from mammoflow.run.provenance import code_digest
from mammoflow.run.runtime import choose_device, seed_everything, set_threads
from mammoflow.segmentation.training_task import TrainingTask
from mammoflow.training.loop import fit
from mammoflow.training.record import TrainingRecord, write_training
from mammoflow.training.state import remove_training_state, training_state
from mammoflow.weights.header import WeightsHeader
from mammoflow.weights.registry import ModelSpec
from mammoflow.weights.seen_patients import RECORD_FILE, recorded_patients

WEIGHTS_FILE = "model.safetensors"


def train_segmenter(
    settings: RecipeSettings,
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
    """Train a segmentation model on the training patients of a study.

    Parameters
    ----------
    settings
        The recipe and its options.
    architecture
        Architecture of the model.
    start
        The model to start from; None for random weights.
    images
        Folders of image-stage shards. Test patients are not used.
    store
        Folder of the embeddings.
    default_margin_mm
        Margin of the box with which validation lesions are prompted.
    output
        Folder for `model.safetensors`, `record.json` and `history.csv`; its name is the model's.
    threads
        Threads of this job.
    use
        What the image encoder of a promptable model sees, and its numbers where it is not trained; None takes the
        defaults. Recipes of automatic models have options of their own.
    lesion_weights
        Weights of the model that draws synthetic lesions; None where the options name none.

    Raises
    ------
    ConfigError
        If the recipe does not fit the model.
    StudyError
        If there is no lesion to train on, or the training gives no finite weights.
    WeightsError
        If the weights to start from are missing, not the published ones, or carry code.
    """
    set_threads(threads)
    options: Any = settings.options
    seed_everything(options.seed)
    device = choose_device(options.device)
    files = (images, store, default_margin_mm, use or EncoderUse(), device, lesion_weights)
    prepared = RECIPES.load(settings.recipe).prepare(TrainingTask(output.name, options, architecture, start, *files))
    state = training_state(
        output, settings.model_dump_json(), architecture, *prepared.content, code=_code(settings, architecture)
    )
    trainer = TRAINERS.load(settings.trainer)
    learner = trainer.wrap(prepared.learner, prepared.unlabelled, settings.trainer_options)
    fitted = fit(learner, prepared.plan, state, output.name)
    trained = prepared.finish(fitted)
    record = TrainingRecord.of(
        output.name,
        settings.options,
        prepared.plan,
        replace(fitted, chosen_epoch=trained.chosen_epoch),
        threads,
        [
            *(recorded_patients(start.name, start.file) if start else []),
            *prepared.patients,
            *(prepared.unlabelled_patients if trainer.UNLABELLED else []),
        ],
        prepared.validation_patients,
        prepared.phantom,
        prepared.parameters,
        {**_facts(settings, architecture, start), **_sources(prepared.patients), **prepared.facts, **trained.facts},
        prepared.packages,
    )
    parts = (trained.adapter_width, trained.automatic, trained.base, trained.lora, trained.colour)
    header = WeightsHeader(architecture, *parts)
    write_training(output, WEIGHTS_FILE, RECORD_FILE, trained.state, record, fitted.history, header.text())
    remove_training_state(output)


def _code(settings: RecipeSettings, architecture: str) -> str:
    """Return the digest of the code of a training, which is that of its rule."""
    members = (*recipe_modules(settings), TRAINERS.module(settings.trainer))
    return code_digest(__name__, ARCHITECTURE_MODULES.module(module_of(architecture)), *members)


def _sources(patients: Sequence[str]) -> dict[str, Any]:
    """Return the data sets of training patients, which are written as `source/patient`."""
    return {"sources": sorted({patient.split("/", 1)[0] for patient in patients})}


def _facts(settings: RecipeSettings, architecture: str, start: ModelSpec | None) -> dict[str, Any]:
    """Return what the record of every segmentation model says of its making."""
    facts = {"architecture": architecture, "recipe": settings.recipe, "trainer": settings.trainer}
    if start is None:
        return facts
    return {**facts, "from": start.name, "from_weights": start.file.name if start.file else ""}
