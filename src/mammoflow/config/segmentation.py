"""Settings of segmentation: which models run, and where the weights of each come from."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from typing import Self

from pydantic import Field, model_validator

from mammoflow.config.architectures import architecture, architecture_names, published_names
from mammoflow.config.base import Settings
from mammoflow.config.detection import DetectionSettings
from mammoflow.config.explanation import did_you_mean
from mammoflow.config.few_labels import FewLabelsSettings
from mammoflow.config.model_search import ModelSearchSettings, check_model_searches
from mammoflow.config.paths import UserPath, check_name
from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.recipes import RECIPES, TrainSettings
from mammoflow.config.synthetic_lesions import GENERATOR
from mammoflow.config.training import TRAINERS

OWN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
RESERVED_NAMES = ("ellipse",)
"""Names that tables use for what is no model."""


class ModelSettings(Settings):
    """One segmentation model: an architecture, and weights that are named or made."""

    architecture: str = Field(
        "",
        description="The network and its preprocessing. Empty uses the architecture with the entry's own name, or "
        "that of the model from which its training starts.",
    )
    weights: UserPath = Field("", description="Weights file: safetensors, or a checkpoint of torch.")
    train: TrainSettings | None = Field(
        None, description="How the run makes the weights on its training patients: {recipe, from, options}."
    )


class SegmentationSettings(SegmentSettings):
    """Segmentation with one or several models."""

    run: list[str] = Field(
        ["small"],
        min_length=1,
        description="Models that segment, each with its own rows: published ones, which need no entry "
        f"({', '.join(published_names())}), and those of `models`.",
    )
    default_model: str = Field("small", description="The model whose masks and embeddings later stages use.")
    models: dict[str, ModelSettings] = Field(
        default_factory=dict,
        description="Models by name, with weights of your own, {mine: {architecture: sam_vit_b, weights: "
        "tuned.safetensors}}, or with weights that the run makes, {sam_lora: {train: {recipe: tune, "
        "from: sam_vit_b, options: {method: lora}}}}. A published name needs an entry only if its file "
        "is not in `prefetch.folder`: {sam_vit_b: {weights: FILE}}.",
    )
    detection: DetectionSettings = Field(
        default_factory=DetectionSettings,
        description="For automatic models: how a probability map becomes components, and when a component hits a "
        "lesion.",
    )
    prompted_by: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Models whose masks prompt another one, in addition to its own prompts: {sam_vit_b: [small]} "
        "also prompts sam_vit_b with the boxes around the masks of small, at each margin.",
    )
    searches: dict[str, ModelSearchSettings] = Field(
        default_factory=dict,
        description="Hyper-parameter searches by name, each of one model that the run trains, within the training "
        "patients; run them with the target `search`. An example is {rates: {model: my_unet, space: {learning_rate: "
        "{low: 1.0e-4, high: 1.0e-2, log: true}}}}.",
    )

    def known_models(self) -> list[str]:
        """Return the names of all models that can run: published ones and those that have an entry."""
        return list(dict.fromkeys([*published_names(), *self.models]))

    def trained_models(self) -> list[str]:
        """Return the names of the models whose weights the run makes."""
        return [name for name, entry in self.models.items() if entry.train is not None]

    def architecture_of(self, name: str) -> str:
        """Return the architecture of a model that can run."""
        entry = self.models.get(name, ModelSettings())
        if entry.architecture or entry.train is None or not entry.train.start:
            return entry.architecture or name
        return self.architecture_of(entry.train.start)

    def is_prompted(self, name: str) -> bool:
        """Tell whether a model that can run needs prompts."""
        return architecture(self.architecture_of(name)).prompted

    def prompting_models(self) -> list[str]:
        """Return the models whose masks prompt others, sorted."""
        return sorted({source for sources in self.prompted_by.values() for source in sources})

    @model_validator(mode="after")
    def check_models(self) -> Self:
        """Refuse entries that name no weights or cannot be trained as they say."""
        for name, entry in self.models.items():
            _check_entry(name, entry)
        _check_starts(self)
        for name, entry in self.models.items():
            _check_architecture(self, name)
            if entry.train is not None:
                _check_training(self, name, entry.train)
                _check_lesion_model(self, name, entry.train)
        return self

    @model_validator(mode="after")
    def check_run(self) -> Self:
        """Refuse models that are not known, that are named twice, or that the default is not among."""
        for name in self.run:
            if name not in self.known_models():
                raise ValueError(
                    f"run names {name!r}; expected one of {', '.join(self.known_models())}; a model of your own has an "
                    "entry in segmentation.models with its architecture, and with weights or train"
                    f"{did_you_mean(name, self.known_models())}"
                )
            if not architecture(self.architecture_of(name)).segments:
                raise ValueError(
                    f"run names {name!r}, which draws lesions and makes no masks; expected segmentation models; name "
                    "it in synthetic_lesions.model of a training"
                )
        if len(set(self.run)) < len(self.run):
            raise ValueError(f"run is {self.run}, expected each model once")
        if self.default_model not in self.run:
            raise ValueError(f"default_model is {self.default_model!r}, expected one of run {self.run}")
        return self

    @model_validator(mode="after")
    def check_searches(self) -> Self:
        """Refuse searches of models that are not trained, and spaces that a recipe refuses."""
        for name in self.searches:
            _check_name("searches", name)
        check_model_searches(self.searches, self.models, {name: self.architecture_of(name) for name in self.models})
        return self

    @model_validator(mode="after")
    def check_prompted_by(self) -> Self:
        """Refuse models that do not run or take no prompts, and models that prompt each other in a circle."""
        for model, sources in self.prompted_by.items():
            for name in (model, *sources):
                if name not in self.run:
                    raise ValueError(f"prompted_by names {name!r}, expected one of run {self.run}")
            if not self.is_prompted(model):
                raise ValueError(f"prompted_by names {model!r}, which takes no prompts; expected a promptable model")
            if len(set(sources)) < len(sources):
                raise ValueError(f"prompted_by of {model} is {sources}, expected each model once")
        circle = _circle(self.prompted_by)
        if circle:
            raise ValueError(
                f"prompted_by goes in a circle: {circle}; expected no model to be prompted by masks that it prompts "
                "itself"
            )
        return self


def _check_entry(name: str, entry: ModelSettings) -> None:
    """Refuse a name that would be misread, and an entry without weights or with two sources of them."""
    _check_name("models", name)
    if name in published_names():
        _check_published(name, entry)
    elif entry.weights and entry.train is not None:
        raise ValueError(f"models.{name} has both weights and train; expected one of them; give one another name")
    elif not entry.weights and entry.train is None:
        raise ValueError(
            f"models.{name} has neither weights nor train, and is no published model; expected a weights file, or how "
            "to train it"
        )


def _check_name(key: str, name: str) -> None:
    """Refuse a name below a key that would be misread, or that is no folder's."""
    if name in RESERVED_NAMES or not OWN_NAME.fullmatch(name):
        raise ValueError(
            f"{key} names {name!r}; expected letters, digits, points, dashes and underscores, with a letter first, "
            f"and none of {', '.join(RESERVED_NAMES)}"
        )
    check_name(key, name)


def _check_published(name: str, entry: ModelSettings) -> None:
    """Refuse an entry under a published name that says more than where the published file is."""
    source = architecture(name).source
    if entry.architecture not in ("", name) or entry.train is not None:
        raise ValueError(
            f"models.{name} is the name of published weights; expected weights alone in its entry; give a model with "
            "another architecture or a training another name"
        )
    if source is not None and source.shipped is not None and entry.weights:
        raise ValueError(
            f"models.{name}.weights is set, but the package ships the weights of {name}; expected another name for "
            f"other weights: my_{name}: {{architecture: {name}, weights: FILE}}"
        )


def _check_starts(settings: SegmentationSettings) -> None:
    """Refuse trainings that start from what is not known or, in the end, from themselves."""
    starts = {name: entry.train.start for name, entry in settings.models.items() if entry.train and entry.train.start}
    for name, start in starts.items():
        if start not in settings.known_models():
            raise ValueError(
                f"models.{name}.train.from is {start!r}; expected one of {', '.join(settings.known_models())}"
            )
    circle = _circle({name: [start] for name, start in starts.items()})
    if circle:
        raise ValueError(
            f"train.from in models goes in a circle: {circle}; expected each model to start from weights that are "
            "there before it"
        )


def _check_architecture(settings: SegmentationSettings, name: str) -> None:
    """Refuse an architecture that is not known, or that is not the one that the training starts from."""
    entry, network = settings.models[name], settings.architecture_of(name)
    if network not in architecture_names():
        raise ValueError(
            f"models.{name}.architecture is {entry.architecture!r}; expected one of {', '.join(architecture_names())}"
        )
    start = entry.train.start if entry.train else ""
    if start and network != settings.architecture_of(start):
        raise ValueError(
            f"models.{name}.architecture is {network}, but its training starts from {start}; expected "
            f"{settings.architecture_of(start)}"
        )


def _check_training(settings: SegmentationSettings, name: str, train: TrainSettings) -> None:
    """Refuse a recipe that does not fit the model."""
    recipe, network = RECIPES.load(train.recipe), settings.architecture_of(name)
    if architecture(network).prompted != recipe.PROMPTED:
        kinds = {True: "promptable", False: "automatic"}
        raise ValueError(
            f"models.{name}.train.recipe is {train.recipe}, which trains {kinds[recipe.PROMPTED]} models, but "
            f"{network} is {kinds[architecture(network).prompted]}"
        )
    if not architecture(network).segments and getattr(recipe, "SEGMENTS", True):
        raise ValueError(
            f"models.{name}.train.recipe is {train.recipe}, but {network} makes no masks; expected recipe: {GENERATOR}"
        )
    if TRAINERS.load(train.trainer).UNLABELLED and not recipe.UNLABELLED:
        raise ValueError(
            f"models.{name}.train.trainer is {train.trainer}, which learns from unlabelled lesions, but the recipe "
            f"{train.recipe} gives none; expected another trainer, such as supervised"
        )
    try:
        recipe.check(train.options, network, train.start)
    except ValueError as error:
        raise ValueError(f"models.{name}.train.{error}") from None


def _check_lesion_model(settings: SegmentationSettings, name: str, train: TrainSettings) -> None:
    """Refuse a model of synthetic lesions that is not known, makes masks, or was trained with other labels."""
    wanted = lesion_model(train)
    if not wanted:
        return
    key = f"models.{name}.train.options"
    drawing = [one for one in settings.models if not architecture(settings.architecture_of(one)).segments]
    if wanted not in drawing:
        raise ValueError(
            f"{key}.synthetic_lesions.model is {wanted!r}; expected one of models with architecture: {GENERATOR}, "
            f"which are {', '.join(drawing) or 'none'}{did_you_mean(wanted, drawing)}"
        )
    maker = settings.models[wanted].train
    if maker is None:
        return
    ours, theirs = (getattr(each.options, "few_labels", FewLabelsSettings()) for each in (train, maker))
    if (ours.fraction, ours.draw) != (theirs.fraction, theirs.draw):
        raise ValueError(
            f"{key}.few_labels has fraction {ours.fraction:g} and draw {ours.draw}, but {wanted}, which draws its "
            f"synthetic lesions, has fraction {theirs.fraction:g} and draw {theirs.draw}; expected the same, since "
            "lesions of patients without labels would come in through it"
        )
    data_sets, of_maker = (sorted(getattr(each.options, "sources", ())) for each in (train, maker))
    if data_sets != of_maker:
        raise ValueError(
            f"{key}.sources is {data_sets}, but {wanted}, which draws its synthetic lesions, has {of_maker}; expected "
            "the same, since lesions of other data sets would come in through it"
        )


def lesion_model(train: TrainSettings) -> str:
    """Return the model that draws synthetic lesions for a training; "" without such lesions."""
    synthetic = getattr(train.options, "synthetic_lesions", None)
    return str(synthetic.model) if synthetic is not None else ""


def _circle(before: dict[str, list[str]]) -> str:
    """Return a circle in a mapping from each name to those that come before it, as text; "" where there is none."""
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        return " <- ".join(error.args[1])
    return ""
