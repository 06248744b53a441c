"""Settings of the training of the small promptable model that the package ships."""

from __future__ import annotations

from pydantic import Field

from mammoflow.config.base import SeededSettings


class SmallTrainingSettings(SeededSettings):
    """How the small model is trained; the recipe of the shipped weights is a preset."""

    epochs: int = Field(32, ge=1, description="Passes over the training lesions.")
    batch_size: int = Field(16, ge=1, description="Windows in a batch, one lesion each.")
    prompts: int = Field(4, ge=1, description="Prompts drawn for each window.")
    learning_rate: float = Field(2e-3, gt=0, description="Highest learning rate of AdamW in a one-cycle schedule.")
    weight_decay: float = Field(0.05, ge=0, description="Weight decay of AdamW.")
    mixed_precision: bool = Field(False, description="Train under bfloat16 autocast.")


class SmallModelSettings(SmallTrainingSettings):
    """The training of the small model inside a run; only the target `small_model` needs it."""

    more_images: list[str] = Field(
        [],
        description="Image folders of further runs to train on, such as results/phantom/images; their shards are found "
        "below, and only their training patients are used.",
    )
