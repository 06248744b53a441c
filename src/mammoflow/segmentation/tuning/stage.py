"""The stage that tunes a promptable model: image shards and weights in, tuned weights and their record out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from mammoflow.config.inference import Precision
from mammoflow.config.tuning import TuneSettings, TuningMethod
from mammoflow.run.provenance import code_digest
from mammoflow.run.runtime import choose_device, seed_everything, set_threads
from mammoflow.segmentation.loading import load_model
from mammoflow.segmentation.tuning.adapters import adapter_width
from mammoflow.segmentation.tuning.learner import make_learner, make_plan, tune_weights
from mammoflow.segmentation.tuning.methods import final_state
from mammoflow.segmentation.tuning.record import RECORD_FILE, WeightsHeader, recorded_patients
from mammoflow.segmentation.tuning.samples import read_lesions
from mammoflow.training.record import TrainingRecord, write_training
from mammoflow.training.state import remove_training_state, training_state
from mammoflow.weights.registry import split_model

WEIGHTS_FILE = "model.safetensors"


def tune(
    settings: TuneSettings,
    method: TuningMethod,
    model: str,
    weights: Path | None,
    images: list[Path],
    store: Path,
    default_margin_mm: float,
    output: Path,
    threads: int,
    precision: Precision = "auto",
) -> None:
    """Tune a promptable model on the training patients, stopped by the validation patients.

    Parameters
    ----------
    settings
        Epochs, rates, prompts, loss, device, seed.
    method
        What is trained.
    model
        The model to start from, with its architecture where it is one of the user's own.
    weights
        Its weights file; None for the model that is shipped inside the package.
    images
        Folders of image-stage shards. Test patients are not looked at.
    store
        Folder of the embeddings, which tuning of the decoder alone reads and fills.
    default_margin_mm
        Margin of the box at which the validation lesions are decoded.
    output
        Folder for `model.safetensors`, `record.json` and `history.csv`; its name is the tuned model's.
    threads
        Threads of this job.
    precision
        Numbers of the image encoder where its embeddings come from the store: those of the segmentation, so that no
        image is encoded twice.

    Raises
    ------
    ConfigError
        If the method does not fit the model.
    StudyError
        If there is no lesion to tune on or to stop by.
    WeightsError
        If the weights are missing, not the published ones, or carry code.
    """
    set_threads(threads)
    seed_everything(settings.seed)
    device = choose_device(settings.device)
    data = read_lesions(images)
    network = load_model(model, weights, device, precision=precision)
    base_digest = network.digest
    learner = make_learner(settings, method, network, data, store, default_margin_mm)
    plan = make_plan(settings, device)
    state = training_state(
        output,
        settings.model_dump_json(),
        method,
        base_digest,
        str(default_margin_mm),
        data.content(),
        code=code_digest(__name__),
    )
    tuned = tune_weights(learner, plan, state, output.name)
    seen_before = recorded_patients(model, weights)
    facts = {
        "model": model,
        "architecture": split_model(model)[1],
        "weights": weights.name if weights else "",
        "base_digest": base_digest,
        "method": method,
        "margin_mm": default_margin_mm,
        "lesions": dict(sorted(Counter(data.lesions["source"].iloc[data.rows("train")]).items())),
        "validation_lesions": len(data.rows("validation")),
        "validation_dice_before": tuned.dice_before,
        "validation_dice": tuned.dice,
    }
    record = TrainingRecord.of(
        output.name,
        settings,
        plan,
        replace(tuned.fit, chosen_epoch=tuned.chosen_epoch),
        threads,
        [*seen_before, *data.patients("train")],
        data.patients("validation"),
        data.phantom,
        (learner.prepared.trainable_parameters, learner.prepared.total_parameters),
        facts,
        ("segment-anything", "sam2"),
    )
    header = WeightsHeader(split_model(model)[1], adapter_width(network.network))
    state_of_it = final_state(learner.prepared)
    write_training(output, WEIGHTS_FILE, RECORD_FILE, state_of_it, record, tuned.fit.history, header.text())
    remove_training_state(output)
