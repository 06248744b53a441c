"""Folders of the folds: in a run that makes every fold, files that depend on the split are in their fold's folder.

The rules have a wildcard `fold`. It is empty for what is the same in every fold, and for every job of any other run.
"""

from __future__ import annotations

from mammoflow.config.split_names import SPLITS
from mammoflow.config.study import StudyConfig

FOLD = r"(?:fold-\d+/)?"
"""Regular expression of the wildcard."""


def fold_folders(config: StudyConfig) -> list[str]:
    """Return the folder of each fold, relative to the run's and with a slash at its end; `[""]` without folds."""
    split = config.cohort.split
    return [f"fold-{fold}/" for fold in range(split.folds)] if split.all_folds else [""]


def has_folds(config: StudyConfig) -> bool:
    """Tell whether the run makes every fold."""
    return config.cohort.split.all_folds


def differs_by_fold(config: StudyConfig, model: str) -> bool:
    """Tell whether the masks of a segmentation model differ by fold: the run trains it, or a model that prompts it."""
    segmentation = config.segmentation
    entry = segmentation.models.get(model)
    trained = entry is not None and entry.train is not None
    prompting = segmentation.prompted_by.get(model, [])
    return has_folds(config) and (trained or any(differs_by_fold(config, source) for source in prompting))


def model_folder(config: StudyConfig, model: str, fold: str) -> str:
    """Return the folder of the fold in which a segmentation model's masks lie; "" where all folds share them."""
    return fold if differs_by_fold(config, model) else ""


def model_folders(config: StudyConfig, model: str) -> list[str]:
    """Return every folder in which a segmentation model's masks lie."""
    return list(dict.fromkeys(model_folder(config, model, fold) for fold in fold_folders(config)))


def prompts_folder(config: StudyConfig, model: str, fold: str) -> str:
    """Return the folder of the fold in which the prompts of a model lie; "" where all folds share them.

    Every patient is on the test side of the whole run, so prompts of some splits alone are made for each fold.
    """
    return model_folder(config, model, fold) if set(config.prompts.splits) != set(SPLITS) else ""


def family_folder(config: StudyConfig, family: str, fold: str) -> str:
    """Return the folder of the fold in which a feature family's tables lie; "" where all folds share them."""
    on_annotation = config.features.families[family].mask != "predicted"
    return "" if on_annotation else model_folder(config, config.segmentation.default_model, fold)


def family_folders(config: StudyConfig, family: str) -> list[str]:
    """Return every folder in which a feature family's tables lie."""
    return list(dict.fromkeys(family_folder(config, family, fold) for fold in fold_folders(config)))
