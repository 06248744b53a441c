"""The jobs of the classifiers: the files that each reads, its code, and the memory that it needs."""

from __future__ import annotations

from pathlib import Path

from mammoflow.config.classification import INPUTS, NETWORKS
from mammoflow.config.pictures import PictureOptions
from mammoflow.config.study import StudyConfig
from mammoflow.planning.features import feature_masks
from mammoflow.planning.folds import family_folder, model_folder
from mammoflow.planning.from_run import trained_files
from mammoflow.planning.models import (
    architecture_module,
    classifier_model,
    encoder_arguments,
    model_arguments,
    segment_memory_mb,
    training_memory_mb,
    weights_inputs,
)
from mammoflow.planning.network_weights import network_weights

APPLIED_STAGE = "mammoflow.classification.applied"

PROCESS_MB = 2000
"""Megabytes of Python, torch and the tables."""

PICTURE_PX = 128
"""Side of the pictures that a network's SAMPLE_MB is about."""


def classifier_modules(config: StudyConfig, name: str) -> tuple[str, ...]:
    """Return the modules whose code the job of a classifier runs, for its code digest."""
    modules = config.classification.classifiers[name].modules()
    if config.classification.from_run:
        entry = config.classification.classifiers[name]
        modules = APPLIED_STAGE, INPUTS.module(entry.input), NETWORKS.module(entry.network)
    needs_model = "model" in config.classification.classifiers[name].needs()
    return (*modules, architecture_module(config, classifier_model(config, name))) if needs_model else modules


def classifier_inputs(config: StudyConfig, name: str, fold: str = "") -> dict[str, list[str]]:
    """Return the files that the job of a classifier reads, beside its settings.

    Parameters
    ----------
    config
        The configuration of the run.
    name
        Name of the classifier.
    fold
        Folder of its fold; "" in a run without folds.

    Returns
    -------
    dict
        `images`, `lesions`, `masks`, `scores`, `prompts`, `features`, `weights` of the network, `model_weights` of
        the promptable model, what a finished run `trained`, and the `classes` of images; an empty list where the
        classifier does not need them.
    """
    entry = config.classification.classifiers[name]
    needs = entry.needs()
    run, model = Path(config.results) / config.run, classifier_model(config, name)
    segmentation = f"{model_folder(config, model, fold)}segmentation/{model}"
    takes_model = {"masks", "model"} & set(needs)
    rests_on_model = bool(takes_model) or any(feature_masks(config, family) for family in entry.vectors)

    def shards(wanted: bool, *patterns: str) -> list[str]:
        numbers = range(config.cohort.shards) if wanted else ()
        return [str(run / pattern.format(shard=f"{number:02d}")) for pattern in patterns for number in numbers]

    return {
        "images": shards(True, fold + "images/{shard}/images.parquet"),
        "lesions": shards(True, fold + "images/{shard}/lesions.parquet"),
        "masks": shards("masks" in needs, f"{segmentation}/{{shard}}/masks.parquet"),
        "scores": shards(rests_on_model, f"{segmentation}/{{shard}}/scores.parquet"),
        "prompts": shards("prompts" in needs, "prompts/{shard}.parquet"),
        "features": shards(
            True,
            *(f"{family_folder(config, family, fold)}features/{family}/{{shard}}.parquet" for family in entry.vectors),
        ),
        "weights": [] if config.classification.from_run else network_weights(config, name),
        "model_weights": weights_inputs(config, model, fold) if "model" in needs else [],
        "trained": trained_files(config, name),
        "classes": [str(run / "cohort" / "classes.parquet")] if "classes" in needs else [],
    }


def saliency_modules(config: StudyConfig, name: str) -> tuple[str, ...]:
    """Return the modules whose code the job of a classifier's saliency maps runs, for its code digest."""
    entry = config.classification.classifiers[name]
    return "mammoflow.classification.saliency.stage", INPUTS.module(entry.input), NETWORKS.module(entry.network)


def saliency_inputs(config: StudyConfig, name: str, fold: str = "") -> dict[str, list[str]]:
    """Return the images, lesions and masks that the job of a classifier's saliency maps reads."""
    return {
        kind: files
        for kind, files in classifier_inputs(config, name, fold).items()
        if kind in ("images", "lesions", "masks")
    }


def model_options(config: StudyConfig, name: str) -> list[str]:
    """Return the words of the command about the promptable model; none for a classifier without one."""
    if "model" not in config.classification.classifiers[name].needs():
        return []
    margin = f"{config.prompts.default_margin_mm:g}"
    store = ["--store", config.store, "--default-margin-mm", margin]
    return [*model_arguments(config, classifier_model(config, name)), *store, *encoder_arguments(config)]


def job_memory_mb(config: StudyConfig, name: str) -> int:
    """Return the megabytes of the job of a classifier: of the process, the network, a batch, and a promptable model."""
    entry = config.classification.classifiers[name]
    network, options = NETWORKS.load(entry.network), entry.input_options
    area = (options.image_px / PICTURE_PX) ** 2 if isinstance(options, PictureOptions) else 1.0
    area *= getattr(INPUTS.load(entry.input), "PICTURES", 1)
    # a network whose size depends on its options has a function in place of the constant
    of_options = getattr(network, "network_mb", None)
    network_mb = of_options(entry.network_options) if of_options else network.NETWORK_MB
    needed = network_mb + entry.batch_size * network.SAMPLE_MB * area
    if "model" not in entry.needs():
        return int(needed + PROCESS_MB)
    model = classifier_model(config, name)
    tunes_encoder = getattr(entry.input_options, "tune", "none") == "all"
    # what a model asks for includes the process
    if tunes_encoder:
        return int(needed + training_memory_mb(config, model, entry.batch_size))
    return int(needed + segment_memory_mb(config, model))
