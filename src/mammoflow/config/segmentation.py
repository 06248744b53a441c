"""Settings of prompts, embeddings and box-prompted segmentation."""

from __future__ import annotations

from typing import Annotated, Literal, Self

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

    models: list[ModelName] = Field(
        ["small"], min_length=1, description="Promptable models to run, each with its own rows."
    )
    default_model: ModelName = Field("small", description="The model whose masks and embeddings later stages use.")
    weights: dict[str, str] = Field(
        default_factory=dict, description="Weights file of each model; `small` is shipped inside the package."
    )
