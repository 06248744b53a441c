"""The training of an automatic model: image shards in, weights with their threshold and their record out."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mammoflow.config.architectures import ARCHITECTURE_MODULES, module_of
from mammoflow.config.automatic import AutomaticTrainingSettings
from mammoflow.errors import ConfigError
from mammoflow.run.provenance import code_digest
from mammoflow.run.runtime import choose_device, seed_everything, set_threads
from mammoflow.segmentation.automatic.learner import DICE, THRESHOLD, AutomaticLearner
from mammoflow.segmentation.automatic.samples import read_training_images
from mammoflow.segmentation.loading import build_model, load_automatic
from mammoflow.segmentation.protocol.automatic import AutomaticModel
from mammoflow.segmentation.protocol.network_input import NetworkInput
from mammoflow.segmentation.training_task import TrainingTask
from mammoflow.training.loop import fit
from mammoflow.training.plan import Plan
from mammoflow.training.record import TrainingRecord, count_parameters, write_training
from mammoflow.training.state import remove_training_state, training_state
from mammoflow.weights.header import AutomaticSetup, WeightsHeader
from mammoflow.weights.seen_patients import RECORD_FILE, recorded_patients

WEIGHTS_FILE = "model.safetensors"


def train_automatic(task: TrainingTask) -> None:
    """Train an automatic model; the validation images choose the epoch and the threshold.

    Raises
    ------
    ConfigError
        If the architecture needs prompts.
    StudyError
        If no image with a lesion is there to train on, or none to validate on.
    WeightsError
        If the weights to start from are missing or do not fit.
    """
    settings: AutomaticTrainingSettings = task.options
    set_threads(task.threads)
    seed_everything(settings.seed)
    device = choose_device(settings.device)
    model = _begin(task, device)
    model.input = NetworkInput(settings.side_px, settings.spacing_mm if settings.input == "patch" else None)
    images = read_training_images(task.images)
    learner = AutomaticLearner(model, images, settings, task.threads)
    plan = Plan.of(settings, device)
    state = training_state(
        task.output, settings.model_dump_json(), task.architecture, model.digest, images.content(), code=_code(task)
    )
    fitted = fit(learner, plan, state, task.output.name)
    chosen = fitted.history[fitted.chosen_epoch - 1]
    setup = AutomaticSetup(model.input.side_px, model.input.spacing_mm, chosen[THRESHOLD])
    facts = {
        "architecture": task.architecture,
        "started_from": task.start.name if task.start else "",
        "input": {"side_px": setup.side_px, "spacing_mm": setup.spacing_mm},
        "threshold": setup.threshold,
        "validation_dice": chosen[DICE],
        "images": len(learner.train_rows),
        "images_with_lesions": len(images.with_lesions("train")),
        "validation_images": len(learner.validation_rows),
        "images_reference_incomplete": images.left_out,
    }
    record = TrainingRecord.of(
        task.output.name,
        settings,
        plan,
        fitted,
        task.threads,
        [*_seen_before(task), *images.patients("train")],
        images.patients("validation"),
        images.phantom,
        count_parameters(list(model.network.parameters())),
        facts,
    )
    header = WeightsHeader(task.architecture, automatic=setup)
    write_training(
        task.output, WEIGHTS_FILE, RECORD_FILE, model.network.state_dict(), record, fitted.history, header.text()
    )
    remove_training_state(task.output)


def _begin(task: TrainingTask, device: torch.device) -> AutomaticModel:
    """Return the model with the weights that the training starts from, in fp32."""
    if task.start is not None:
        return load_automatic(task.start, device, "fp32")
    model = build_model(task.architecture, None, "random", device)
    if not isinstance(model, AutomaticModel):
        raise ConfigError(f"{task.architecture} needs prompts; expected an automatic architecture, such as unet")
    return model


def _code(task: TrainingTask) -> str:
    """Return the digest of the code of this training: this module, and that of the model's architecture."""
    return code_digest(__name__, ARCHITECTURE_MODULES.module(module_of(task.architecture)))


def _seen_before(task: TrainingTask) -> Sequence[str]:
    """Return the patients that the weights to start from have seen."""
    return recorded_patients(task.start.name, task.start.file) if task.start else []
