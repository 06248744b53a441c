"""The jobs of the feature families: the code that each runs, and the inputs and GPUs that it needs."""

from __future__ import annotations

from mammoflow.config.features import FEATURE_FAMILIES
from mammoflow.config.study import StudyConfig
from mammoflow.planning.folds import family_folder
from mammoflow.planning.workflow import gpus


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
