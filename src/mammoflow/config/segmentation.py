"""Settings of prompts, embeddings and box-prompted segmentation."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from mammoflow.config.base import SeededSettings, Settings

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
        "sam_vit_b", description="The published model whose network and preprocessing the weights are for."
    )
    weights: str = Field(min_length=1, description="Weights file: safetensors, or a checkpoint of torch.")


class PromptSettings(Settings):
    """Box prompts made from the reference boxes."""

    margins_mm: list[Annotated[float, Field(ge=0)]] = Field(
        [0.0, 5.0, 10.0, 20.0],
        min_length=1,
        description="Margins in millimetres added on each side of the lesion's box; each gives a row in the tables.",
    )
    default_margin_mm: float = Field(
        10.0, ge=0, description="The margin whose masks go on to features and classifiers; one of margins_mm."
    )

    @model_validator(mode="after")
    def check_margins(self) -> Self:
        """Refuse a margin that is named twice: its prompts would have the same names."""
        if len(set(self.margins_mm)) < len(self.margins_mm):
            raise ValueError(f"margins_mm is {self.margins_mm}, expected each margin once")
        return self


class SegmentSettings(SeededSettings):
    """What one segmentation job needs beside its model."""

    iterations: int = Field(3, ge=1, le=10, description="Refinement iterations: each prompts again with the last mask.")
    feed: Literal["logits", "box", "both"] = Field(
        "logits",
        description="What an iteration takes from the one before: its mask logits beside the prompt's own box, the box "
        "around its mask in place of the prompt's, or both.",
    )
    choose: Literal["first", "predicted_iou", "oracle"] = Field(
        "first",
        description="Which iteration goes on: the first, the one with the best predicted IoU, or the best by the "
        "reference mask (an oracle, marked as such everywhere).",
    )
    batch_images: int = Field(4, ge=1, description="Images encoded together.")


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
        for name in self.models:
            if name not in (*published, *self.custom):
                raise ValueError(
                    f"models names {name!r}; expected one of {', '.join((*published, *self.custom))}; a model of your "
                    "own stands under segmentation.custom with its architecture and weights"
                )
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"models is {self.models}, expected each model once")
        return self
