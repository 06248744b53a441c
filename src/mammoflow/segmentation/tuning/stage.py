"""The stage that tunes a promptable model: image shards and weights in, tuned weights and their record out."""

from __future__ import annotations

import csv
import io
import json
import resource
import shutil
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.nn.modules.batchnorm import _BatchNorm

from mammoflow.config.inference import Precision
from mammoflow.config.tuning import TuneSettings
from mammoflow.run.runtime import choose_device, seed_everything, set_threads
from mammoflow.segmentation.embedding.training_sources import EmbeddingSource, EncoderSource
from mammoflow.segmentation.layers.adapters import adapter_width
from mammoflow.segmentation.layers.attention_blocks import find_blocks
from mammoflow.segmentation.loading import load_promptable
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.tuning.decoding import Decoding
from mammoflow.segmentation.tuning.methods import Prepared, final_state, prepare
from mammoflow.segmentation.tuning.samples import TuningLesions, read_lesions
from mammoflow.segmentation.tuning.training import Tuned, tune_weights
from mammoflow.storage.arrays import ArrayStore
from mammoflow.storage.files import file_digest, text_digest, write_text, writing
from mammoflow.weights.header import WeightsHeader
from mammoflow.weights.registry import ModelSpec
from mammoflow.weights.seen_patients import RECORD_FILE, recorded_patients

WEIGHTS_FILE = "model.safetensors"
IMAGES_ENCODED_TOGETHER = 4


def tune(
    settings: TuneSettings,
    model: ModelSpec,
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
        Method, epochs, rates, prompts, loss, device, seed.
    model
        The model to start from.
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
    started = time.monotonic()
    device = choose_device(settings.device)
    data = read_lesions(images)
    network = load_promptable(model, device, precision)
    base_digest = network.digest
    prepared = prepare(network, settings.method, settings)
    decoding = Decoding(network, data, _source(prepared, data, settings, store), settings)
    state = output.parent / ".training" / text_digest(
        settings.model_dump_json(), base_digest, str(default_margin_mm), output.name, data.content()
    )[:16]  # fmt: skip
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    tuned = tune_weights(prepared, decoding, settings, default_margin_mm, state, device)
    facts = {
        "model": model.name,
        "architecture": model.architecture,
        "weights": model.weights.name if model.weights else "",
        "base_digest": base_digest,
        "method": settings.method,
        "settings": settings.model_dump(),
        "margin_mm": default_margin_mm,
        "seen_before": recorded_patients(model.name, model.file),
        "seconds": round(time.monotonic() - started),
        "device": device.type,
        "peak_memory_bytes": peak_memory(device),
    }
    _write(output, prepared, data, tuned, facts)
    shutil.rmtree(state, ignore_errors=True)


def _source(
    prepared: Prepared, data: TuningLesions, settings: TuneSettings, store: Path
) -> EmbeddingSource | EncoderSource:
    """Return where embeddings come from; those of a frozen encoder are all in the store before the first step."""
    network: PromptableModel = prepared.model
    if not prepared.encodes:
        source = EmbeddingSource(network, data.images, ArrayStore(store), IMAGES_ENCODED_TOGETHER)
        for _ in source.all():
            pass
        return source
    # a block is computed again for itself; a network without blocks as a whole, unless that would count twice in its
    # running statistics
    normalised = any(isinstance(module, _BatchNorm) for module in network.network.modules())
    whole = settings.gradient_checkpointing and not find_blocks(network.network) and not normalised
    return EncoderSource(network, data.images, recompute=whole)


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that were in use: of the GPU, or of this process where it computes on the CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _write(output: Path, prepared: Prepared, data: TuningLesions, tuned: Tuned, facts: dict[str, Any]) -> None:
    """Write weights, learning curve and record, the record last: it names the digest of the weights."""
    trained = prepared.trainable_parameters
    path = output / WEIGHTS_FILE
    with writing(path) as temporary:
        header = WeightsHeader(facts["architecture"], adapter_width(prepared.model.network))
        save_file(final_state(prepared), str(temporary), metadata=header.text())
    text = io.StringIO()
    table = csv.DictWriter(text, list(tuned.history[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(tuned.history)
    write_text(output / "history.csv", text.getvalue())
    train, validation = data.rows("train"), data.rows("validation")
    found = [epoch["validation_dice"] for epoch in tuned.history]
    record = {
        **{key: value for key, value in facts.items() if key != "seen_before"},
        "name": output.name,
        "lesions": dict(sorted(Counter(data.lesions["source"].iloc[train]).items())),
        "validation_lesions": len(validation),
        "patients": sorted({*facts["seen_before"], *data.patients("train")}),
        "validation_patients": data.patients("validation"),
        "trainable_parameters": trained,
        "total_parameters": prepared.total_parameters,
        "precision": tuned.precision,
        "epochs": len(tuned.history),
        "resumed_from": tuned.resumed_from,
        "chosen_epoch": tuned.chosen_epoch,
        "validation_dice_before": tuned.dice_before,
        "validation_dice": found[tuned.chosen_epoch - 1] if tuned.chosen_epoch else tuned.dice_before,
        "weights_sha256": file_digest(path),
        "versions": {name: version(name) for name in ("mammoflow", "torch", "segment-anything", "sam2", "lightning")},
    }
    write_text(output / RECORD_FILE, json.dumps(record, indent=2, sort_keys=True) + "\n")
