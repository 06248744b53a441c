"""The jobs of the classifiers: the files that each reads, its code, and the memory and GPUs that it needs."""

from __future__ import annotations

import shlex
from pathlib import Path

from mammoflow.config.classification import INPUTS, NETWORKS, ClassifierSettings
from mammoflow.config.pictures import PictureOptions
from mammoflow.config.study import StudyConfig
from mammoflow.planning.features import feature_masks
from mammoflow.planning.models import architecture, model_argument, weights_path
from mammoflow.planning.preflight import gpu_present

PROCESS_MB = 2000
"""Megabytes of Python, torch and the tables."""

PICTURE_PX = 128
"""Side of the pictures that a network's SAMPLE_MB is about."""


def classifier_modules(config: StudyConfig, name: str) -> tuple[str, ...]:
    """Return the modules whose code the job of a classifier runs, for its code digest."""
    return config.classification.classifiers[name].modules()


def classifier_inputs(config: StudyConfig, name: str) -> dict[str, list[str]]:
    """Return the files that the job of a classifier reads, beside its settings.

    Returns
    -------
    dict
        `images`, `lesions`, `masks`, `scores`, `prompts`, `features`, `weights` of the network and `model_weights` of
        the promptable model; an empty list where the classifier does not need them.
    """
    entry = config.classification.classifiers[name]
    needs = INPUTS.load(entry.input).NEEDS
    run, model = Path(config.results) / config.run, config.segmentation.default_model
    segmentation = f"segmentation/{model}"
    rests_on_masks = "masks" in needs or any(feature_masks(config, family) for family in entry.vectors)
    file = weights_path(config, model) if "model" in needs else None

    def shards(wanted: bool, *patterns: str) -> list[str]:
        numbers = range(config.cohort.shards) if wanted else ()
        return [str(run / pattern.format(shard=f"{number:02d}")) for pattern in patterns for number in numbers]

    return {
        "images": shards(True, "images/{shard}/images.parquet"),
        "lesions": shards(True, "images/{shard}/lesions.parquet"),
        "masks": shards("masks" in needs, f"{segmentation}/{{shard}}/masks.parquet"),
        "scores": shards(rests_on_masks, f"{segmentation}/{{shard}}/scores.parquet"),
        "prompts": shards("prompts" in needs, "prompts/{shard}.parquet"),
        "features": shards(True, *(f"features/{family}/{{shard}}.parquet" for family in entry.vectors)),
        "weights": [entry.weights] if entry.weights else [],
        "model_weights": [] if file is None else [str(file)],
    }


def model_options(config: StudyConfig, name: str) -> str:
    """Return the options of the command about the promptable model; "" for a classifier without one."""
    if "model" not in INPUTS.load(config.classification.classifiers[name].input).NEEDS:
        return ""
    argument = model_argument(config, config.segmentation.default_model)
    margin = f"{config.prompts.default_margin_mm:g}"
    words = ["--model", argument, "--store", config.store, "--default-margin-mm", margin]
    return shlex.join([*words, "--precision", config.segmentation.precision])


def classifier_gpus(config: StudyConfig, name: str) -> int:
    """Return the GPUs of the job of a classifier: one where the device is `cuda`, or `auto` and there is one."""
    device = config.classification.classifiers[name].device
    device = config.device if device == "auto" else device
    return int(device == "cuda" or (device == "auto" and gpu_present()))


def classifier_memory_mb(config: StudyConfig, name: str) -> int:
    """Return the megabytes of the job of a classifier: of the process, the network, a batch, and a promptable model."""
    entry = config.classification.classifiers[name]
    network, options = NETWORKS.load(entry.network), entry.input_options
    area = (options.image_px / PICTURE_PX) ** 2 if isinstance(options, PictureOptions) else 1.0
    needed = PROCESS_MB + network.NETWORK_MB + entry.batch_size * network.SAMPLE_MB * area
    if "model" in INPUTS.load(entry.input).NEEDS:
        needed += model_memory_mb(config, entry)
    return int(needed)


def model_memory_mb(config: StudyConfig, entry: ClassifierSettings) -> int:
    """Return the megabytes that the promptable model adds to a job."""
    small = architecture(config, config.segmentation.default_model) == "small"
    tuned = getattr(entry.input_options, "tune", "none") == "all"
    each = (250 if small else 2000) if tuned else 0
    return (1000 if small else 12000) + entry.batch_size * each
