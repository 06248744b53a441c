"""Settings of segmentation: which models run, and where their weights come from."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from mammoflow.config.base import Settings
from mammoflow.config.prompted import SegmentSettings

ModelName = Literal[
    "small",
    "sam_vit_b",
    "sam_vit_l",
    "sam_vit_h",
    "medsam_vit_b",
    "sam2.1_hiera_tiny",
    "sam2.1_hiera_small",
    "sam2.1_hiera_base_plus",
    "sam2.1_hiera_large",
]


OWN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
RESERVED_NAMES = ("ellipse",)
"""Names that tables use for what is no model."""


class OwnModelSettings(Settings):
    """A promptable model of one's own: a known architecture with other weights, such as tuned ones."""

    architecture: ModelName = Field(
        description="The published model whose network and preprocessing the weights are for."
    )
    weights: str = Field(
        "",
        description="Weights file: safetensors, or a checkpoint of torch; empty takes what `tuning.models` makes under "
        "this name.",
    )


class SegmentationSettings(SegmentSettings):
    """Box-prompted segmentation with one or several promptable models."""

    models: list[str] = Field(
        ["small"],
        min_length=1,
        description="Promptable models to run, each with its own rows: published ones "
        f"({', '.join(get_args(ModelName))}) and those of `custom`.",
    )
    default_model: str = Field("small", description="The model whose masks and embeddings later stages use.")
    weights: dict[str, str] = Field(
        default_factory=dict,
        description="Weights file of each published model, where it lies elsewhere than `prefetch.folder`; `small` is "
        "shipped inside the package.",
    )
    custom: dict[str, OwnModelSettings] = Field(
        default_factory=dict,
        description="Models of your own by name: {my_tuned: {architecture: sam_vit_b, weights: tuned.safetensors}}.",
    )
    prompted_by: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Models whose masks prompt another one, beside its own prompts: {sam_vit_b: [small]} decodes "
        "sam_vit_b also with the boxes around small's masks, at each margin.",
    )

    @model_validator(mode="after")
    def check_models(self) -> Self:
        """Refuse a model that is not known or named twice, and a name of one's own that would be misread."""
        published = get_args(ModelName)
        for name in self.custom:
            if name in (*published, *RESERVED_NAMES) or not OWN_NAME.fullmatch(name):
                raise ValueError(
                    f"custom names a model {name!r}; expected a name that no published model has, of letters, digits, "
                    "points, dashes and underscores, with a letter first"
                )
        for name in self.weights:
            if name not in published:
                raise ValueError(
                    f"weights names {name!r}; expected one of {', '.join(published)}; weights of a model of your own "
                    "stand under segmentation.custom"
                )
        if "small" in self.weights:
            raise ValueError(
                "weights names 'small', whose weights are inside the package; expected a name of your own for others: "
                "custom: {my_small: {architecture: small, weights: FILE}}"
            )
        for name in self.models:
            if name not in (*published, *self.custom):
                raise ValueError(
                    f"models names {name!r}; expected one of {', '.join((*published, *self.custom))}; a model of your "
                    "own stands under segmentation.custom with its architecture and weights"
                )
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"models is {self.models}, expected each model once")
        return self

    @model_validator(mode="after")
    def check_prompted_by(self) -> Self:
        """Refuse models that do not run, and models that prompt each other in a circle."""
        for model, sources in self.prompted_by.items():
            for name in (model, *sources):
                if name not in self.models:
                    raise ValueError(f"prompted_by names {name!r}, expected one of models {self.models}")
            if len(set(sources)) < len(sources):
                raise ValueError(f"prompted_by of {model} is {sources}, expected each model once")
        try:
            TopologicalSorter(self.prompted_by).prepare()
        except CycleError as error:
            raise ValueError(
                f"prompted_by goes in a circle: {' <- '.join(error.args[1])}; expected no model to be prompted by "
                "masks that it prompts itself"
            ) from None
        return self
