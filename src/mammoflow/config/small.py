"""Settings of the training of the small promptable model, the options of the recipe `small`."""

from __future__ import annotations

from pydantic import Field

from mammoflow.config.base import SeededSettings


class SmallTrainingSettings(SeededSettings):
    """Options of the recipe `small`; those of the shipped weights are in a preset."""

    epochs: int = Field(32, ge=1, description="Passes over the training lesions.")
    batch_size: int = Field(16, ge=1, description="Windows in a batch, one lesion each.")
    prompts: int = Field(4, ge=1, description="Prompts drawn for each window.")
    learning_rate: float = Field(2e-3, gt=0, description="Highest learning rate of AdamW in a one-cycle schedule.")
    weight_decay: float = Field(0.05, ge=0, description="Weight decay of AdamW.")
    mixed_precision: bool = Field(False, description="Train under bfloat16 autocast.")
