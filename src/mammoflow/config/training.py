"""Settings that every training shares, and the family of trainers."""

from __future__ import annotations

from pydantic import Field

from mammoflow.config.base import SeededSettings
from mammoflow.config.members import Family

TRAINERS = Family("mammoflow.training.trainers", "trainer")


class TrainingSettings(SeededSettings):
    """Limits and rates of one training."""

    epochs: int = Field(12, ge=1, description="Most epochs; the learning rate rises and falls once over them.")
    patience: int | None = Field(
        None,
        ge=1,
        description="Epochs without a better validation figure after which training stops; null finishes the schedule.",
    )
    batch_size: int = Field(16, ge=1, description="Samples in a batch; halved inside the step where memory runs out.")
    learning_rate: float = Field(
        1e-3,
        gt=0,
        description="Highest learning rate of AdamW; it rises to this value and falls again (one cycle).",
    )
    weight_decay: float = Field(1e-2, ge=0, description="Weight decay of AdamW.")
    sources: list[str] = Field(
        default_factory=list,
        description="Names of the data sets whose training and validation patients are used; empty uses all. A model "
        "that starts from one of another data set shows what further training forgets.",
    )
