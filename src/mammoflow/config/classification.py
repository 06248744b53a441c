"""Settings of the malignancy classifiers: each is an input, a network and a trainer."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from mammoflow.config.base import Device, Seed, Settings, overlay
from mammoflow.config.classifier_checks import CLASS_STAGE, check_classifier, check_titles
from mammoflow.config.default_classifiers import DEFAULT_RUN
from mammoflow.config.default_classifiers import entries as default_entries
from mammoflow.config.explanation import did_you_mean
from mammoflow.config.few_labels import FewLabelsSettings
from mammoflow.config.from_run import with_trained
from mammoflow.config.image_classes import Target
from mammoflow.config.members import Family, MemberOf, NoOptions, OptionsOf
from mammoflow.config.operating_point import ThresholdSettings
from mammoflow.config.paths import UserPath, check_name
from mammoflow.config.search import SearchSettings, check_searches
from mammoflow.config.search_space import candidates
from mammoflow.config.training import TRAINERS

INPUTS = Family("mammoflow.classification.inputs", "classifier input")
NETWORKS = Family("mammoflow.classification.networks", "classifier network")

NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
Keep = Literal["last", "best_auc"]
ClassWeights = Literal["balanced", "none"]
TestTimeFlips = Literal["none", "horizontal", "all"]
Covariate = Literal["lesion_type", "density", "view"]


class ClassifierSettings(Settings):
    """One classifier."""

    title: str = Field("", description="Name in tables, figures and report; empty uses the name of the entry.")
    input: Annotated[str, MemberOf(INPUTS, listed=False)] = Field(description="What the network sees of a lesion.")
    network: Annotated[str, MemberOf(NETWORKS, listed=False)] = Field(
        description="The network that turns the input into features."
    )
    trainer: Annotated[str, MemberOf(TRAINERS, listed=False)] = Field("supervised", description="How it is trained.")
    target: Target = Field(
        "malignant",
        description="What it tells apart: malignant from benign lesions, or the classes of images (cohort.classes). "
        "With classes each image is a sample, and its AUC is the mean over the classes, each against the rest.",
    )
    weights: UserPath = Field(
        "",
        description="Initial weights of the network: a file, or published for the published weights, which come from "
        "an installed package or from prefetch.folder. Empty means random weights.",
    )
    vectors: list[str] = Field(
        default_factory=list,
        description="Feature families whose columns are appended to the network's features before the last layer; "
        "each is one of features.run. Each lesion is then a separate sample.",
    )
    covariates: list[Covariate] = Field(
        default_factory=list,
        description="Values of the case table that are appended to the network's features as columns of 0 and 1. "
        "Each lesion is then a separate sample.",
    )
    labels: Literal["true", "shuffled"] = Field(
        "true",
        description="shuffled is a leak probe: before training, the labels of training and validation are shuffled "
        "among their patients. A test AUC that differs from 0.5 then shows a leak.",
    )
    few_labels: FewLabelsSettings = Field(
        default_factory=FewLabelsSettings, description="Training patients whose labels are used."
    )
    note: str = Field("", description="Text in the note of its row in the comparison, such as a published protocol.")
    seeds: list[Seed] = Field(
        [0], min_length=1, description="One training for each seed; tables show their mean and its spread."
    )
    device: Device = Field(
        "auto", description="Device of the training: auto uses a GPU if there is one; cpu and cuda force one of them."
    )
    epochs: int = Field(12, ge=1, description="Epochs of the schedule.")
    patience: int | None = Field(
        None,
        ge=1,
        description="Epochs without a better smoothed validation AUC after which training stops before the schedule "
        "has ended; null always finishes the schedule. It needs keep: best_auc.",
    )
    keep: Keep = Field(
        "last",
        description="The epoch whose weights are kept: the last one, or the one with the best validation AUC, smoothed "
        "over three epochs.",
    )
    validate_every: int = Field(
        1,
        ge=1,
        description="Epochs from one validation to the next; the last epoch is always validated. More than 1 saves "
        "time and needs keep: last and trainer: supervised.",
    )
    batch_size: int = Field(16, ge=1, description="Lesions or images in a batch.")
    learning_rate: float = Field(1e-3, gt=0, description="Highest learning rate of AdamW.")
    schedule: Literal["one_cycle", "constant"] = Field(
        "one_cycle", description="Whether the learning rate rises to its highest value and falls again, or is constant."
    )
    weight_decay: float = Field(1e-2, ge=0, description="Weight decay of AdamW; 0 makes it Adam.")
    class_weights: ClassWeights = Field(
        "balanced",
        description="Weights in the loss: all classes have the same total weight, or each case has the same weight.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Number format: auto uses bf16 if the device has it and it is faster; the others force one."
    )
    hidden: list[Annotated[int, Field(ge=1)]] = Field(
        default_factory=list,
        description="Widths of dense layers with ReLU between the network's features and the last layer.",
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout before each layer of the head.")
    outputs: Literal["sigmoid", "softmax"] = Field(
        "sigmoid", description="One output and a sigmoid, or two outputs and a softmax."
    )
    test_time_flips: TestTimeFlips = Field(
        "none",
        description="Flips of a picture over which the logits of predictions are averaged: none, the picture and its "
        "mirror image, or all four.",
    )
    calibrate: Literal["none", "temperature"] = Field(
        "temperature",
        description="Divide logits by a temperature that is fitted on validation, if it has at least 10 cases of "
        "each class. The order of the lesions does not change.",
    )
    threshold: ThresholdSettings = Field(
        default_factory=ThresholdSettings, description="Probability from which on a lesion counts as malignant."
    )
    input_options: Annotated[Settings, OptionsOf(INPUTS, "input")] = Field(
        default_factory=NoOptions, validate_default=True, description="Options of the input."
    )
    network_options: Annotated[Settings, OptionsOf(NETWORKS, "network")] = Field(
        default_factory=NoOptions, validate_default=True, description="Options of the network."
    )
    trainer_options: Annotated[Settings, OptionsOf(TRAINERS, "trainer")] = Field(
        default_factory=NoOptions, validate_default=True, description="Options of the trainer."
    )

    def modules(self) -> tuple[str, ...]:
        """Return the modules whose code the job of this classifier runs, for its code digest."""
        members = INPUTS.module(self.input), NETWORKS.module(self.network), TRAINERS.module(self.trainer)
        return CLASS_STAGE if self.target == "classes" else "mammoflow.classification.stage", *members

    def needs(self) -> tuple[str, ...]:
        """Return what the input reads with its options, such as `images` and `masks`."""
        member = INPUTS.load(self.input)
        needs: tuple[str, ...] = member.needs(self.input_options) if hasattr(member, "needs") else member.NEEDS
        return (*needs, "classes") if self.target == "classes" else needs

    @field_validator("seeds", "vectors", "covariates")
    @classmethod
    def check_each_once(cls, values: list[Any]) -> list[Any]:
        """Refuse a seed, a feature family or a covariate that is named twice."""
        if len(set(values)) < len(values):
            raise ValueError(f"{values} names one twice; expected each once")
        return values

    @model_validator(mode="after")
    def check_input_fits_network(self) -> Self:
        """Refuse keys that do not fit each other."""
        gives, takes = INPUTS.load(self.input).GIVES, NETWORKS.load(self.network).TAKES
        if gives != takes:
            fitting = [name for name in NETWORKS.names() if gives == NETWORKS.load(name).TAKES]
            raise ValueError(
                f"network is {self.network}, which takes a {takes}, but the input {self.input} gives a {gives}; "
                f"expected one of {', '.join(fitting)}"
            )
        if self.weights and NETWORKS.load(self.network).WEIGHTS is None:
            raise ValueError(
                f"weights is {self.weights!r}, but the network {self.network} starts from random weights, as none are "
                "published; expected an empty text"
            )
        if self.test_time_flips != "none" and gives != "picture":
            raise ValueError(
                f"test_time_flips is {self.test_time_flips}, but the input {self.input} gives a {gives}; expected "
                "none, or an input of pictures"
            )
        check_classifier(self, NETWORKS.load(self.network), INPUTS)
        if self.patience is not None and self.keep == "last":
            raise ValueError(
                f"patience is {self.patience} and keep is last, which would keep an epoch that was no better; expected "
                "keep: best_auc, or patience: null"
            )
        if self.validate_every > 1 and self.keep != "last":
            raise ValueError(
                f"validate_every is {self.validate_every} and keep is {self.keep}, which needs the validation of each "
                "epoch; expected validate_every: 1, or keep: last"
            )
        if self.validate_every > 1 and TRAINERS.load(self.trainer).UNLABELLED:
            raise ValueError(
                f"validate_every is {self.validate_every} and trainer is {self.trainer}, whose predictions of lesions "
                "without a label use the statistics that validation computes; expected validate_every: 1, or trainer: "
                "supervised"
            )
        return self


def default_classifiers() -> dict[str, ClassifierSettings]:
    """Return the classifiers of the default configuration, by name."""
    return {name: ClassifierSettings.model_validate(entry) for name, entry in default_entries().items()}


class ClassificationSettings(Settings):
    """All classifiers."""

    run: list[str] = Field(
        default_factory=lambda: list(DEFAULT_RUN),
        description="Classifiers to train, by their names under `classifiers`; an empty list trains none. With "
        "from_run, those of that run to apply; the list of the default configuration applies all that can be.",
    )
    from_run: UserPath = Field(
        "",
        description="Folder of a finished run, such as results/other, whose classifiers are applied to this study "
        "instead of trained, with their calibration and thresholds. It needs cohort.split.method: apply. Empty trains.",
    )
    classifiers: dict[str, ClassifierSettings] = Field(
        default_factory=default_classifiers,
        description="Classifiers by name; the name is that of the folder and of the row in the tables.",
    )
    searches: dict[str, SearchSettings] = Field(
        default_factory=dict,
        description="Hyper-parameter searches by name, each of one classifier, within the training patients; run "
        "them with the target `search`. An example is {rates: {classifier: context_crop, space: "
        "{learning_rate: {low: 1.0e-5, high: 1.0e-2, log: true}, dropout: [0.0, 0.2, 0.5]}}}.",
    )

    def needed(self) -> list[str]:
        """Return the classifiers that the run trains or searches, each once; none where a finished run trained them."""
        searched = [search.classifier for search in self.searches.values()]
        return [] if self.from_run else list(dict.fromkeys([*self.run, *searched]))

    @property
    def validation_classes(self) -> int:
        """How many classes classifiers of malignancy need in validation: 0 if none is trained, 2 to choose by AUC."""
        names = [name for name in self.needed() if self.classifiers[name].target == "malignant"]
        return max((2 if self.classifiers[name].keep == "best_auc" else 1 for name in names), default=0)

    @property
    def class_sides(self) -> int:
        """On how many sides classifiers of classes need every class: 0 if none is trained, 2 to choose by AUC."""
        return max((2 if self.classifiers[name].keep == "best_auc" else 1 for name in self.of_classes()), default=0)

    def of_malignancy(self) -> list[str]:
        """Return the classifiers of the run that tell malignant from benign lesions, in the order of `run`."""
        return [name for name in self.run if self.classifiers[name].target == "malignant"]

    def of_classes(self) -> list[str]:
        """Return the classifiers of the run that tell the classes of images apart, in the order of `run`."""
        return [name for name in self.run if self.classifiers[name].target == "classes"]

    def entries(self) -> list[tuple[str, str, ClassifierSettings]]:
        """Return key, classifier and settings of every classifier that is trained, and of points of each search."""
        trained = [(f"classifiers.{name}", name, self.classifiers[name]) for name in self.run]
        searched = [
            (f"searches.{name}.space", search.classifier, entry)
            for name, search in self.searches.items()
            for entry in candidates(search, self.classifiers[search.classifier])
        ]
        return trained + searched

    @model_validator(mode="before")
    @classmethod
    def take_trained(cls, values: Any) -> Any:
        """Take the settings of classifiers that a finished run trained from its records."""
        return with_trained(values, DEFAULT_RUN, ClassifierSettings.model_validate)

    @field_validator("classifiers", mode="before")
    @classmethod
    def add_defaults(cls, values: Any) -> Any:
        """Lay the entries over those of the default configuration, so that an overlay names what it changes."""
        if not isinstance(values, dict):
            return values
        defaults = {name: entry.model_dump() for name, entry in default_classifiers().items()}
        return overlay(defaults, values)

    @model_validator(mode="after")
    def check_names(self) -> Self:
        """Refuse a classifier without an entry, one that is named twice, and names that are no folder's."""
        for key, names in (("classifiers", self.classifiers), ("searches", self.searches)):
            for name in names:
                if not NAME.fullmatch(name):
                    raise ValueError(
                        f"{key} names {name!r}; expected letters, digits, points, dashes and underscores, with a "
                        "letter first"
                    )
                check_name(key, name)
        for name in self.run:
            if name not in self.classifiers:
                raise ValueError(
                    f"run names {name!r}; expected one of classifiers: {', '.join(self.classifiers)}"
                    f"{did_you_mean(name, self.classifiers)}"
                )
        if len(set(self.run)) < len(self.run):
            raise ValueError(f"run is {self.run}, expected each classifier once")
        check_titles({} if self.from_run else {name: self.classifiers[name] for name in self.run})
        check_searches(self.searches, self.classifiers)
        return self
