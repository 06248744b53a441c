"""The jobs of the feature families: the code that each runs, and the inputs and GPUs that it needs."""

from __future__ import annotations

from mammoflow.config.features import FEATURE_FAMILIES
from mammoflow.config.study import StudyConfig
from mammoflow.planning.folds import family_folder, fold_folders, model_folder
from mammoflow.planning.models import (
    model_arguments,
    prompted_models,
    segment_memory_mb,
    segment_modules,
    weights_inputs,
)
from mammoflow.planning.workflow import gpus

STABILITY_MB = 4000
"""Megabytes of the job of the stability without a segmentation model."""


def feature_modules(family: str) -> list[str]:
    """Return the modules whose code the job of a feature family runs, for its code digest."""
    return ["mammoflow.features.stage", FEATURE_FAMILIES.module(family)]


def feature_gpus(config: StudyConfig, family: str) -> int:
    """Return the GPUs of the job of a feature family: none where family or options compute on the CPU only.

    Otherwise it is one where the device is `cuda`, or `auto` on a machine with a GPU.
    """
    used = FEATURE_FAMILIES.load(family).GPU and config.features.families[family].can_use_gpu
    return gpus(config, f"features/{family}") if used else 0


def feature_masks(config: StudyConfig, family: str, fold: str = "") -> list[str]:
    """Return the mask tables that a feature family reads, with the wildcard `{shard}`: none for annotated masks."""
    if config.features.families[family].mask != "predicted":
        return []
    model, folder = config.segmentation.default_model, family_folder(config, family, fold)
    return [f"{config.results}/{config.run}/{folder}segmentation/{model}/{{shard}}/masks.parquet"]


def stability_modules(config: StudyConfig) -> list[str]:
    """Return the modules whose code measures the stability: the stage, the families, and the model of the masks."""
    model = config.segmentation.default_model
    segments = segment_modules(config, model) if resegments(config) else []
    families = [FEATURE_FAMILIES.module(family) for family in config.features.run]
    return ["mammoflow.evaluation.stability_stage", *families, *segments]


def resegments(config: StudyConfig) -> bool:
    """Tell whether the stability tries other boxes: a family has masks that a model predicted from reference boxes.

    Masks from points or from readers' boxes would differ from those of other reference boxes by the kind of prompt too.
    """
    predicted = any(config.features.families[family].mask == "predicted" for family in config.features.run)
    boxes = config.prompts.reference and config.prompts.kinds[0] == "box"
    return predicted and boxes and config.segmentation.default_model in prompted_models(config)


def stability_fold(config: StudyConfig) -> str:
    """Return the folder of the fold whose training patients the stability is measured on: the first one, if any."""
    return fold_folders(config)[0]


def stability_masks(config: StudyConfig) -> list[str]:
    """Return the mask tables that the stability reads, with the wildcard `{shard}`."""
    if all(config.features.families[family].mask != "predicted" for family in config.features.run):
        return []
    model, fold = config.segmentation.default_model, stability_fold(config)
    return [
        f"{config.results}/{config.run}/{model_folder(config, model, fold)}segmentation/{model}/{{shard}}/masks.parquet"
    ]


def stability_weights(config: StudyConfig) -> list[str]:
    """Return the weights file of the model that segments other boxes, as the inputs of a rule."""
    model = config.segmentation.default_model
    return weights_inputs(config, model, stability_fold(config)) if resegments(config) else []


def stability_memory_mb(config: StudyConfig) -> int:
    """Return the megabytes of the job of the stability, which has the model in memory where it segments again."""
    of_model = segment_memory_mb(config, config.segmentation.default_model) if resegments(config) else 0
    return max(STABILITY_MB, of_model)


def stability_gpus(config: StudyConfig) -> int:
    """Return the GPUs of the job of the stability: those of the model where it segments again."""
    return gpus(config, f"segmentation/{config.segmentation.default_model}") if resegments(config) else 0


def stability_arguments(config: StudyConfig, segment_settings: str) -> list[str]:
    """Return the words of the command that name the model of other boxes; the rule quotes each word."""
    if not resegments(config):
        return []
    return [
        *model_arguments(config, config.segmentation.default_model),
        "--segment-settings",
        segment_settings,
        "--store",
        str(config.store),
        "--default-margin-mm",
        str(config.prompts.default_margin_mm),
    ]
