"""Settings of prompts, embeddings and box-prompted segmentation."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
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


PromptKind = Literal["box", "point", "box_point"]
Feed = Literal["logits", "box", "both"]
Choice = Literal["first", "predicted_iou", "oracle"]
Heads = Literal["single", "predicted_iou", "head_1", "head_2", "head_3", "oracle"]
FieldOfView = Literal["image", "window"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]

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


class ReaderSettings(Settings):
    """Boxes that a reader drew."""

    name: str = Field(
        min_length=1, pattern=r"^[^@#/]+$", description="What the reader is called in the tables; no @, # or /."
    )
    table: str = Field(
        min_length=1,
        description="CSV or Parquet file with lesion_id or image_id and the half-open box y0, x0, y1, x1.",
    )
    unit: Literal["film_px", "mm"] = Field("film_px", description="What the box is in, counted from the film's corner.")


class PromptSettings(Settings):
    """Prompts made from the reference masks, and from boxes that readers drew."""

    margins_mm: list[Annotated[float, Field(ge=0)]] = Field(
        [0.0, 5.0, 10.0, 20.0],
        min_length=1,
        description="Margins in millimetres added on each side of the lesion's box; each gives a row in the tables.",
    )
    default_margin_mm: float = Field(
        10.0, ge=0, description="The margin whose masks go on to features and classifiers; one of margins_mm."
    )
    kinds: list[PromptKind] = Field(
        ["box"],
        min_length=1,
        description="What a prompt is made of: box, point (the deepest point of the mask), box_point (both). The first "
        "kind's masks go on to features and classifiers.",
    )
    positive_points: int = Field(
        1, ge=1, le=10, description="Points on the lesion; the first is the deepest, the others are drawn inside."
    )
    negative_points: int = Field(
        0,
        ge=0,
        le=10,
        description="Points beside the lesion, drawn between its mask and the border of the box with its margin (of "
        "the box with default_margin_mm for point).",
    )
    draws: int = Field(
        0,
        ge=0,
        le=100,
        description="Prompts drawn at random beside each exact one: boxes are jittered, points lie anywhere inside.",
    )
    jitter_mm: float = Field(0.0, ge=0, description="Most that each side of a drawn box is moved, in or out.")
    jitter_share: float = Field(
        0.0, ge=0, le=1, description="The same as a share of the box's height or width; instead of jitter_mm."
    )
    reference: bool = Field(True, description="Make prompts from the reference; false leaves only those of readers.")
    readers: list[ReaderSettings] = Field(
        default_factory=list,
        description="Boxes that readers drew: [{name: A, table: boxes.csv, unit: film_px}]; margins and kinds hold for "
        "them too.",
    )
    seed: int = Field(0, ge=0, description="Seed of everything that is drawn; each prompt draws for itself.")

    @model_validator(mode="after")
    def check_margins(self) -> Self:
        """Refuse what is named twice: its prompts would have the same names."""
        for key, values in (
            ("margins_mm", self.margins_mm),
            ("kinds", self.kinds),
            ("names of readers", [reader.name for reader in self.readers]),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"{key} is {values}, expected each once")
        return self

    @model_validator(mode="after")
    def check_draws(self) -> Self:
        """Refuse drawn boxes that would all be the exact one, two sizes of jitter, and a study without any prompt."""
        if self.jitter_mm and self.jitter_share:
            raise ValueError("jitter_mm and jitter_share are both set, expected one of them")
        jitter = self.jitter_mm or self.jitter_share
        if self.draws and not jitter and self.kinds != ["point"]:
            raise ValueError(
                f"draws is {self.draws} and no box is jittered; set jitter_mm or jitter_share, or draws: 0"
            )
        if jitter and not self.draws:
            raise ValueError("a jitter is set and draws is 0; set draws to the number of prompts to draw")
        if not self.reference and not self.readers:
            raise ValueError("reference is false and readers is empty, expected at least one source of prompts")
        return self


class SegmentSettings(SeededSettings):
    """What one segmentation job needs beside its model."""

    iterations: int = Field(3, ge=1, le=10, description="Refinement iterations: each prompts again with the last mask.")
    feed: Feed = Field(
        "logits",
        description="What an iteration takes from the one before: its mask logits beside the prompt's own box, the box "
        "around its mask in place of the prompt's, or both.",
    )
    choose: Choice = Field(
        "first",
        description="Which iteration goes on: the first, the one with the best predicted IoU, or the best by the "
        "reference mask (an oracle, marked as such everywhere).",
    )
    heads: Heads = Field(
        "single",
        description="Which mask the first iteration has: that of the single-mask head, or of the three heads for "
        "ambiguous prompts the one with the best predicted IoU, a fixed one (head_1 to head_3), or the best by the "
        "reference mask (oracle, marked as such everywhere).",
    )
    fields_of_view: list[FieldOfView] = Field(
        ["image"],
        min_length=1,
        description="What the network sees: the whole image, as published, or a window of the film around each prompt "
        "(window). Each has its own rows; the first one's masks go on.",
    )
    window_boxes: float = Field(
        1.5, ge=1, le=10, description="Side of a window in longest sides of the prompt's box; at least window_mm."
    )
    window_mm: float = Field(40.0, ge=5, le=500, description="Least side of a window in millimetres.")
    precision: Precision = Field(
        "auto",
        description="Numbers in which the image encoder and the decoder of small multiply: bf16 halves what they cost "
        "and more, fp32 is exact, fp16 is for GPUs without bf16. auto takes bf16 where the device has it, else fp32. "
        "Embeddings of each are kept apart.",
    )
    batch_images: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="Images or windows encoded together: a number, or auto for as many as the GPU's memory holds and "
        "for one on a CPU. Halved where memory runs out.",
    )

    @model_validator(mode="after")
    def check_fields_of_view(self) -> Self:
        """Refuse a field of view that is named twice: its rows would stand twice in the tables."""
        if len(set(self.fields_of_view)) < len(self.fields_of_view):
            raise ValueError(f"fields_of_view is {self.fields_of_view}, expected each once")
        return self


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
