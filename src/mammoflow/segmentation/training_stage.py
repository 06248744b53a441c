"""The stage that trains a segmentation model by a recipe: image shards in, weights and their record out."""

from __future__ import annotations

from mammoflow.config.recipes import RECIPES
from mammoflow.segmentation.training_task import TrainingTask


def train_segmenter(recipe: str, task: TrainingTask) -> None:
    """Train a segmentation model on the training patients of a study.

    Parameters
    ----------
    recipe
        Name of the recipe.
    task
        Options, model and files.

    Raises
    ------
    ConfigError
        If the recipe does not fit the model.
    StudyError
        If there is no lesion to train on.
    WeightsError
        If the weights to start from are missing, not the published ones, or carry code.
    """
    RECIPES.load(recipe).train(task)
