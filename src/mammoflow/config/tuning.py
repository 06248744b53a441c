"""Settings of the tuning of promptable models, the options of the recipe `tune`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mammoflow.config.prompts import PromptKind
from mammoflow.config.training import TrainingSettings

TuningMethod = Literal["decoder", "all", "lora", "adapters", "sam_adapter", "vpt", "bitfit"]
TrainedHeads = Literal["single", "three", "both"]
IouLoss = Literal["best", "all", "all_l1"]
AttentionLayer = Literal["qkv", "q", "k", "v", "proj"]
PromptedLayers = Literal["all", "global_only"]

ATTENTION_METHODS: tuple[TuningMethod, ...] = ("lora", "adapters", "sam_adapter", "vpt")
"""Methods that add something to the attention blocks of an image encoder."""


class TuneSettings(TrainingSettings):
    """Options of the recipe `tune`."""

    method: TuningMethod = Field(
        "decoder",
        description="What is trained: the mask decoder; all weights; low-rank updates of the encoder's attention "
        "(lora); bottlenecks in the encoder's blocks (adapters); what high frequencies of the image add before each "
        "block (sam_adapter); visual prompts of the encoder's attention (vpt); the encoder's biases (bitfit).",
    )
    epochs: int = Field(
        20, ge=1, description="Largest number of epochs; the one with the best validation Dice is kept."
    )
    patience: int | None = Field(
        5,
        ge=1,
        description="Epochs without a better validation Dice after which the training stops; null finishes the "
        "schedule.",
    )
    batch_size: int = Field(4, ge=1, description="Lesions of one step; the step is divided if memory runs out.")
    learning_rate: float = Field(
        1e-4, gt=0, description="Highest learning rate of the mask decoder (AdamW, one cycle)."
    )
    encoder_learning_rate: float = Field(
        1e-5, gt=0, description="Highest learning rate of all other parts of the network if all is trained."
    )
    added_learning_rate: float = Field(
        5e-4, gt=0, description="Highest learning rate of all that is added to the encoder, and of its biases."
    )
    tune_decoder: bool = Field(
        True, description="Train the mask decoder together with what is added to the encoder, or with its biases."
    )
    tune_prompt_encoder: bool = Field(
        False,
        description="Train the prompt encoder (the embeddings of points, boxes and masks) with the rate of the decoder "
        "too; the method all always does.",
    )
    rank: int = Field(4, ge=1, le=256, description="Rank of LoRA's updates.")
    alpha: float = Field(4.0, gt=0, description="LoRA's updates are multiplied by alpha / rank.")
    lora_layers: list[AttentionLayer] = Field(
        ["qkv", "proj"],
        min_length=1,
        description="Linear layers of the encoder's attention that LoRA updates: qkv as one layer, or q, k, v each by "
        "itself, and proj. SAMed has [q, v].",
    )
    adapter_width: int = Field(64, ge=1, description="Width of an adapter's bottleneck.")
    visual_prompts: int = Field(10, ge=1, le=200, description="Visual prompts (vpt) of each layer.")
    prompted_layers: PromptedLayers = Field(
        "all",
        description="Layers with visual prompts: all, or those with attention over the whole image (global_only).",
    )
    patients: int | None = Field(
        None,
        ge=1,
        description="Train on this many of the training patients; null trains on all. With one seed a smaller number "
        "draws part of a larger one's patients.",
    )
    validation_patients: int | None = Field(
        None, ge=1, description="Choose the epoch on this many of the validation patients; null takes all."
    )
    validation_margin_mm: float | None = Field(
        None,
        ge=0,
        description="Margin of the boxes with which the validation Dice is computed; null takes "
        "prompts.default_margin_mm.",
    )
    prompts: int = Field(2, ge=1, le=64, description="Number of prompts that are drawn for each lesion in each step.")
    kinds: list[PromptKind] = Field(
        ["box"], min_length=1, description="Kinds of the drawn prompts; each is equally frequent."
    )
    margins_mm: list[Annotated[float, Field(ge=0)]] = Field(
        [0.0, 20.0], min_length=2, max_length=2, description="Margins of the boxes are drawn evenly between these two."
    )
    jitter_mm: float = Field(2.0, ge=0, description="Largest shift of each side of a box, inwards or outwards.")
    positive_points: int = Field(1, ge=1, le=10, description="Points drawn on the lesion, for kinds with points.")
    negative_points: int = Field(0, ge=0, le=10, description="Points drawn beside the lesion, in its box.")
    empty_images: bool = Field(
        False,
        description="Train on training images without a lesion too: their prompt is a point at the middle, their mask "
        "is empty. Needs kinds: [point].",
    )
    iterations: int = Field(
        2,
        ge=1,
        le=10,
        description="Passes of the decoder over a prompt; from the second one on, the last mask is part of the prompt.",
    )
    heads: TrainedHeads = Field(
        "single",
        description="The decoder's heads that are trained: the single one, the three for ambiguous prompts, or both.",
    )
    iou_loss: IouLoss = Field(
        "best",
        description="How the IoU estimate learns: squared error of the best mask, as for SAM (best); squared error of "
        "all masks (all); absolute error of all masks, as for SAM 2 (all_l1).",
    )
    gradient_checkpointing: bool = Field(
        True, description="Compute the encoder's blocks again for the gradient instead of keeping their activations."
    )
    mixed_precision: bool = Field(True, description="Train in bfloat16 on devices on which it is faster.")

    @model_validator(mode="after")
    def check_ranges(self) -> Self:
        """Refuse margins in the wrong order and choices that are named twice."""
        if self.margins_mm[0] > self.margins_mm[1]:
            raise ValueError(f"margins_mm is {self.margins_mm}, expected the smaller one first")
        for key, values in (("kinds", self.kinds), ("lora_layers", self.lora_layers)):
            if len(set(values)) < len(values):
                raise ValueError(f"{key} is {values}, expected each once")
        if self.empty_images and self.kinds != ["point"]:
            raise ValueError(f"empty_images is true and kinds is {self.kinds}, expected kinds: [point]")
        if "qkv" in self.lora_layers and set(self.lora_layers) & {"q", "k", "v"}:
            raise ValueError(f"lora_layers is {self.lora_layers}, expected qkv, or some of q, k and v")
        return self
