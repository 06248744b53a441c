"""How the weights of a segmentation model are made: a recipe with its options.

A module of `segmentation/recipes` is a member of the family. Its top level holds

- `Options`: the settings of the recipe, of which `device` and `seed` are two;
- `PROMPTED`: whether it trains promptable models, or automatic ones;
- `UNLABELLED`: whether it gives batches without labels to trainers that learn from them;
- `check(options, architecture, start)`: raises ValueError where they do not fit each other; `start` is the model that
  the training starts from, or "";
- `SEGMENTS`, only where it is False: the recipe trains architectures that make no masks;
- `modules(options)`, only where options name further members, such as a loss: the modules of these members;
- `prepare(task)`: turns a `TrainingTask` into a `PreparedTraining` (`segmentation/training_task.py`): the learner, the
  plan and what the record says. The stage fits the learner and writes the weights that `finish` makes of it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from mammoflow.config.base import Settings
from mammoflow.config.members import Family, MemberOf, NoOptions, OptionsOf
from mammoflow.config.paths import UserPath
from mammoflow.config.training import TRAINERS

RECIPES = Family("mammoflow.segmentation.recipes", "training recipe")


class RecipeSettings(Settings):
    """What one training job of a segmentation model needs beside its files."""

    recipe: Annotated[str, MemberOf(RECIPES)] = Field(
        description="How the weights are made; each recipe has its own options."
    )
    options: Annotated[Settings, OptionsOf(RECIPES, "recipe")] = Field(
        default_factory=NoOptions, validate_default=True, description="Options of the recipe, such as its epochs."
    )
    trainer: Annotated[str, MemberOf(TRAINERS)] = Field(
        "supervised", description="How the model learns from labelled lesions, and from those without a label."
    )
    trainer_options: Annotated[Settings, OptionsOf(TRAINERS, "trainer")] = Field(
        default_factory=NoOptions, validate_default=True, description="Options of the trainer."
    )


class TrainSettings(RecipeSettings):
    """The training of one model inside a run."""

    model_config = ConfigDict(serialize_by_alias=True)

    start: str = Field(
        "",
        alias="from",
        description="The model to start from: a published name, or another one of segmentation.models; empty starts "
        "from random weights.",
    )
    more_images: list[UserPath] = Field(
        default_factory=list,
        description="Image folders of other runs to train on, such as results/phantom/images; their shards are found "
        "in it, and their test patients are not used.",
    )


def recipe_modules(settings: RecipeSettings) -> list[str]:
    """Return the modules of a recipe: its own, and those of the members that its options name."""
    further = getattr(RECIPES.load(settings.recipe), "modules", None)
    return [RECIPES.module(settings.recipe), *(further(settings.options) if further else ())]
