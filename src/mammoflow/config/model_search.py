"""Settings of the hyper-parameter search of a segmentation model, what its job is told, and the check of its space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, Self

from pydantic import Field, model_validator

from mammoflow.config.base import Settings, StageSettings
from mammoflow.config.explanation import did_you_mean
from mammoflow.config.few_labels import FewLabelsSettings
from mammoflow.config.recipes import RECIPES, RecipeSettings, TrainSettings
from mammoflow.config.search_space import SpaceSettings, check_points, dependent_options, refuse_keys

OBJECTIVES = {"automatic": "images", "tune": "lesions"}
"""Recipes whose models can be searched -> over what the Dice of a held-out inner fold is a mean."""

OTHER_FILES = ("encoder_weights", "labels.kind", "labels.model", "labels.weights", "synthetic_lesions.model", "colour")
"""Options that need other files or other models."""

OTHER_PATIENTS = ("sources", "few_labels", "patients")
"""Options that choose training patients or their labels."""

VALIDATION = "validation_"
"""Beginning of options that say how a training validates, so that values would not be comparable."""

DECIDED = ("device", "seed")
"""Options that the search decides itself."""


class ModelSearchSettings(SpaceSettings):
    """One hyper-parameter search of a segmentation model that the run trains, within the training patients."""

    model: str = Field(description="The model: an entry of `models` with the key train, which need not be in `run`.")
    held_out_folds: int | None = Field(
        None,
        ge=1,
        description="How many of the inner folds are held out, one after another; null holds out each of them. 1 is a "
        "single split of the training patients.",
    )

    @model_validator(mode="after")
    def check_keys(self) -> Self:
        """Refuse options that a search cannot change."""
        refuse_keys(
            self, OTHER_FILES, "which needs other files or models", "Give each model an entry and a search of its own"
        )
        refuse_keys(self, OTHER_PATIENTS, "which chooses other patients or labels")
        refuse_keys(self, DECIDED, "which the search decides itself")
        of_validation = [key for key in self.space if key.startswith(VALIDATION)]
        refuse_keys(self, of_validation, "which changes what the Dice of a trial is computed of")
        kinds = self.space.get("kinds", [])
        first = {each[0] for each in kinds if isinstance(each, list) and each} if isinstance(kinds, list) else set()
        if len(first) > 1:
            raise ValueError(
                f"space.kinds is {kinds}; expected lists with the same kind first, because the training validates with "
                "it and Dice of different prompts cannot be compared"
            )
        if self.held_out_folds is not None and self.held_out_folds > self.inner_folds:
            raise ValueError(
                f"held_out_folds is {self.held_out_folds} and inner_folds is {self.inner_folds}; expected at most that "
                "number, or null"
            )
        return self

    @property
    def trained_folds(self) -> int:
        """Trainings of a trial: inner folds that are held out."""
        return self.inner_folds if self.held_out_folds is None else self.held_out_folds


class ModelSearchJob(StageSettings):
    """What the job of a search of a segmentation model is told."""

    search: ModelSearchSettings = Field(description="The search.")
    training: RecipeSettings = Field(description="How the model is trained; a trial changes what is searched.")


class TrainedEntry(Protocol):
    """An entry of `models`, as far as a search looks at it."""

    @property
    def train(self) -> TrainSettings | None:
        """How the run makes the weights; None for weights that are given."""


def check_model_searches(
    searches: Mapping[str, ModelSearchSettings], models: Mapping[str, TrainedEntry], architectures: Mapping[str, str]
) -> None:
    """Refuse a search of a model that the run does not train or that has no Dice, and a space that its recipe refuses.

    Parameters
    ----------
    searches
        The searches by name.
    models
        The entries of `models` by name.
    architectures
        Architecture of each of them.

    Raises
    ------
    ValueError
        If there is no such model, its weights are given, its recipe has no Dice, or options do not fit each other.
    ValidationError
        If the options of its recipe refuse a point of the space; the key is below `searches.<name>.space`.
    """
    for name, search in searches.items():
        key = f"searches.{name}.model is {search.model!r}"
        trained = [each for each, entry in models.items() if entry.train is not None]
        train = models[search.model].train if search.model in models else None
        if train is None:
            why = ", whose weights are not trained by the run" if search.model in models else ""
            raise ValueError(
                f"{key}{why}; expected one of models with the key train: {', '.join(trained) or 'none is there'}"
                f"{did_you_mean(search.model, trained)}"
            )
        _check_recipe(key, train)
        _check_kept_options(name, search, train.options)
        recipe, network = RECIPES.load(train.recipe), architectures[search.model]
        start = train.start

        def fits(options: Settings, recipe: Any = recipe, network: str = network, start: str = start) -> None:
            recipe.check(options, network, start)

        check_points(name, search, train.options, fits)


def _check_recipe(key: str, train: TrainSettings) -> None:
    """Refuse a training whose held-out patients have no Dice, or whose labels a search would have to see."""
    if train.recipe not in OBJECTIVES:
        raise ValueError(
            f"{key} with train.recipe {train.recipe}, which computes no Dice of validation patients, and a search "
            f"compares this figure; expected a model of the recipe {' or '.join(OBJECTIVES)}"
        )
    fraction = getattr(train.options, "few_labels", FewLabelsSettings()).fraction
    if fraction < 1:
        raise ValueError(
            f"{key} with train.options.few_labels.fraction {fraction:g}, but the search needs the labels of all "
            "training patients for its inner folds; expected fraction: 1, or no search"
        )


def _check_kept_options(name: str, search: ModelSearchSettings, options: Settings) -> None:
    """Refuse a search over a member, such as the loss, whose own options the entry sets: they would fit one of them."""
    for kept, chosen_by in dependent_options(type(options)).items():
        if chosen_by in search.space and kept in options.model_fields_set:
            raise ValueError(
                f"searches.{name}.space names {chosen_by}, and models.{search.model}.train.options.{kept} is set, which"
                f" may fit one {chosen_by} alone; expected {kept} left out, so that each {chosen_by} has its defaults"
            )


def check_search_names(model_searches: Iterable[str], classifier_searches: Iterable[str]) -> None:
    """Refuse a search of a segmentation model and one of a classifier with one name, which is that of a folder.

    Raises
    ------
    ValueError
        Naming both keys.
    """
    for name in sorted(set(model_searches) & set(classifier_searches)):
        raise ValueError(
            f"segmentation.searches and classification.searches both name {name!r}, and each search has a folder of "
            "its name; expected different names"
        )
