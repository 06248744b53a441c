"""Options of the recipe that trains a generative model of lesion crops."""

from __future__ import annotations

from pydantic import Field

from mammoflow.config.few_labels import FewLabelsSettings
from mammoflow.config.training import TrainingSettings


class LesionDiffusionSettings(TrainingSettings):
    """How a denoising diffusion model learns crops around the lesions of training patients."""

    epochs: int = Field(100, ge=1, description="Passes over the training lesions; the last epoch is kept.")
    batch_size: int = Field(32, ge=1, description="Crops in a batch; halved where memory runs out.")
    learning_rate: float = Field(5e-4, gt=0, description="Highest learning rate of AdamW in a one-cycle schedule.")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay of AdamW.")
    width: int = Field(
        32, ge=8, le=256, multiple_of=8, description="Channels of the finest level; 32 makes 1.9 million parameters."
    )
    unknown_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of the crops of a batch whose malignancy is hidden, so that the model also draws lesions of "
        "unknown malignancy.",
    )
    few_labels: FewLabelsSettings = Field(
        default_factory=FewLabelsSettings, description="Training patients whose lesions are used."
    )
