"""Settings of the malignancy classifiers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mammoflow.config.base import Settings, StageSettings

EfficientNetInput = Literal["masked_crop", "whole_image", "whole_image_radiomics"]
PerceptronVariant = Literal["frozen", "decoder_tuned", "all_tuned"]


class TrainingSettings(StageSettings):
    """What every trained classifier shares."""

    epochs: int = Field(8, ge=1, description="Most epochs; the epoch with the best validation loss is kept.")
    patience: int = Field(5, ge=1, description="Epochs without a better validation loss after which training stops.")
    batch_size: int = Field(16, ge=1, description="Lesions or images in a batch.")
    learning_rate: float = Field(3e-4, gt=0, description="Learning rate of AdamW.")
    weight_decay: float = Field(1e-2, ge=0, description="Weight decay of AdamW.")
    mask: Literal["predicted", "reference"] = Field("predicted", description="Whose mask marks the lesion.")


class EfficientNetTraining(TrainingSettings):
    """What one EfficientNet job needs beside its kind of input."""

    image_px: int = Field(128, ge=32, le=1024, description="Side of the square network input in pixels.")
    weights: str = Field("", description="ImageNet weights file of EfficientNet-B0; empty starts from random weights.")


class EfficientNetSettings(EfficientNetTraining):
    """EfficientNet-B0 on masked crops, on whole images, and on whole images with radiomics."""

    inputs: list[EfficientNetInput] = Field(
        ["masked_crop", "whole_image", "whole_image_radiomics"],
        description="The classifiers to train, one for each kind of input.",
    )


class PerceptronTraining(TrainingSettings):
    """What one perceptron job needs beside its variant and its promptable model."""

    hidden: list[int] = Field([256, 64], min_length=2, max_length=2, description="Widths of the two hidden layers.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout between the layers.")
    segmentation_weight: float = Field(
        1.0, ge=0, description="Weight of the segmentation loss where the decoder is trained too."
    )


class PerceptronSettings(PerceptronTraining):
    """A three-layer perceptron on the embeddings of the promptable model."""

    variants: list[PerceptronVariant] = Field(
        ["frozen", "decoder_tuned", "all_tuned"],
        description="What is trained beside the perceptron: nothing, the mask decoder, or encoder and decoder.",
    )


class ClassificationSettings(Settings):
    """All classifiers."""

    efficientnet: EfficientNetSettings = Field(default_factory=EfficientNetSettings, description="EfficientNet-B0.")
    perceptron: PerceptronSettings = Field(default_factory=PerceptronSettings, description="Perceptron on embeddings.")
