"""Settings of the tuning of promptable models."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from mammoflow.config.base import SeededSettings, Settings
from mammoflow.config.prompts import PromptKind
from mammoflow.config.segmentation import OWN_NAME, RESERVED_NAMES, ModelName, SegmentationSettings

TuningMethod = Literal["decoder", "all", "lora", "adapters"]
TrainedHeads = Literal["single", "three", "both"]
IouLoss = Literal["best", "all"]
AttentionLayer = Literal["qkv", "proj"]

WITHOUT_ATTENTION = ("small",)
"""Architectures that have no attention blocks for LoRA or adapters."""


class TunedModelSettings(Settings):
    """One model to tune."""

    model: str = Field(description="The model to start from: a published name, or one of segmentation.custom.")
    method: TuningMethod = Field(
        description="What is trained: the mask decoder; all weights; low-rank updates of the encoder's attention "
        "(lora); bottlenecks in the encoder's blocks (adapters)."
    )


class TuneSettings(SeededSettings):
    """What one tuning job needs beside its model and its method."""

    epochs: int = Field(20, ge=1, description="Most epochs; the one with the best validation Dice is kept.")
    patience: int = Field(5, ge=1, description="Epochs without a better validation Dice after which tuning stops.")
    batch_size: int = Field(4, ge=1, description="Lesions of one step; halved inside the step where memory runs out.")
    learning_rate: float = Field(
        1e-4, gt=0, description="Highest learning rate of the mask decoder (AdamW, one cycle)."
    )
    encoder_learning_rate: float = Field(
        1e-5, gt=0, description="Highest learning rate of everything else of the network where all is trained."
    )
    added_learning_rate: float = Field(5e-4, gt=0, description="Highest learning rate of LoRA and of adapters.")
    weight_decay: float = Field(1e-2, ge=0, description="Weight decay of AdamW.")
    tune_decoder: bool = Field(True, description="Train the mask decoder beside LoRA or adapters.")
    rank: int = Field(4, ge=1, le=256, description="Rank of LoRA's updates.")
    alpha: float = Field(4.0, gt=0, description="LoRA's updates are multiplied by alpha / rank.")
    lora_layers: list[AttentionLayer] = Field(
        ["qkv", "proj"], min_length=1, description="Linear layers of the encoder's attention that LoRA updates."
    )
    adapter_width: int = Field(64, ge=1, description="Width of an adapter's bottleneck.")
    prompts: int = Field(2, ge=1, le=64, description="Prompts drawn for each lesion in each step.")
    kinds: list[PromptKind] = Field(
        ["box"], min_length=1, description="Kinds of the prompts that are drawn, each as often as the others."
    )
    margins_mm: list[Annotated[float, Field(ge=0)]] = Field(
        [0.0, 20.0], min_length=2, max_length=2, description="Margins of the boxes are drawn evenly between these two."
    )
    jitter_mm: float = Field(2.0, ge=0, description="Most that each side of a box is moved, in or out.")
    positive_points: int = Field(1, ge=1, le=10, description="Points drawn on the lesion, for kinds with points.")
    negative_points: int = Field(0, ge=0, le=10, description="Points drawn beside it, in its box.")
    iterations: int = Field(
        2, ge=1, le=10, description="Passes of the decoder over a prompt, each prompted with the last one's mask too."
    )
    heads: TrainedHeads = Field(
        "single",
        description="The decoder's heads that are trained: the single one, the three for ambiguous prompts, or both.",
    )
    iou_loss: IouLoss = Field(
        "best", description="Masks on which the IoU estimate learns: the best one, as for SAM, or all, as for SAM 2."
    )
    gradient_checkpointing: bool = Field(
        True, description="Compute the encoder's blocks again for the gradient instead of keeping their activations."
    )
    mixed_precision: bool = Field(True, description="Train in bfloat16 on devices where that pays.")

    @model_validator(mode="after")
    def check_ranges(self) -> Self:
        """Refuse margins in the wrong order and choices that are named twice."""
        if self.margins_mm[0] > self.margins_mm[1]:
            raise ValueError(f"margins_mm is {self.margins_mm}, expected the smaller one first")
        for key, values in (("kinds", self.kinds), ("lora_layers", self.lora_layers)):
            if len(set(values)) < len(values):
                raise ValueError(f"{key} is {values}, expected each once")
        return self


class TuningSettings(TuneSettings):
    """Tuning of promptable models inside a run."""

    models: dict[str, TunedModelSettings] = Field(
        default_factory=dict,
        description="Models to tune by their new name: {sam_lora: {model: sam_vit_b, method: lora}}. To segment with "
        "one, name it under segmentation.custom with its architecture and without weights, and under "
        "segmentation.models.",
    )

    @model_validator(mode="after")
    def check_names(self) -> Self:
        """Refuse names that would be misread, and a published one: tuned weights are not those."""
        for name in self.models:
            if name in (*get_args(ModelName), *RESERVED_NAMES) or not OWN_NAME.fullmatch(name):
                raise ValueError(
                    f"models names {name!r}; expected a name that no published model has, of letters, digits, points, "
                    "dashes and underscores, with a letter first"
                )
        return self


def check_tuned_models(tuning: TuningSettings, segmentation: SegmentationSettings) -> None:
    """Hold the tuned models to the models that they start from and to the names that segmentation gives them.

    Raises
    ------
    ValueError
        If a model starts from one that is not known or, in the end, from itself; if its architecture is not that of its
        start, or has no attention for the method; if a custom model has no weights and is not tuned, or both.
    """
    custom = segmentation.custom
    for name, own in custom.items():
        if not own.weights and name not in tuning.models:
            raise ValueError(
                f"segmentation.custom.{name} has no weights and tuning.models does not name it; expected one of both"
            )
        if own.weights and name in tuning.models:
            raise ValueError(
                f"segmentation.custom.{name} has weights and is also in tuning.models; give one of them another name"
            )
    try:
        TopologicalSorter({name: [tuned.model] for name, tuned in tuning.models.items()}).prepare()
    except CycleError as error:
        raise ValueError(
            f"tuning.models goes in a circle: {' <- '.join(error.args[1])}; expected each to start from weights that "
            "are there before it"
        ) from None
    for name, tuned in tuning.models.items():
        if tuned.model not in (*get_args(ModelName), *custom):
            raise ValueError(
                f"tuning.models.{name}.model is {tuned.model!r}; expected one of "
                f"{', '.join((*get_args(ModelName), *custom))}"
            )
        base = custom.get(tuned.model)
        architecture = base.architecture if base else tuned.model
        if name in custom and custom[name].architecture != architecture:
            raise ValueError(
                f"segmentation.custom.{name}.architecture is {custom[name].architecture}, but it is tuned from "
                f"{tuned.model}; expected {architecture}"
            )
        if tuned.method in ("lora", "adapters") and architecture in WITHOUT_ATTENTION:
            raise ValueError(
                f"tuning.models.{name}.method is {tuned.method}, but {architecture} has no attention; expected decoder "
                "or all"
            )
