"""Settings of the malignancy classifiers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mammoflow.config.base import SeededSettings, Settings

EfficientNetInput = Literal["masked_crop", "whole_image", "whole_image_radiomics"]
PerceptronVariant = Literal["frozen", "decoder_tuned", "all_tuned"]


class TrainingSettings(SeededSettings):
    """What every trained classifier shares."""

    epochs: int = Field(12, ge=1, description="Most epochs; the epoch with the best validation loss is kept.")
    patience: int = Field(5, ge=1, description="Epochs without a better validation loss after which training stops.")
    batch_size: int = Field(16, ge=1, description="Lesions or images in a batch.")
    learning_rate: float = Field(
        1e-3, gt=0, description="Highest learning rate of AdamW; it rises to this value and falls again (one cycle)."
    )
    weight_decay: float = Field(1e-2, ge=0, description="Weight decay of AdamW.")


class EfficientNetTraining(TrainingSettings):
    """What one EfficientNet job needs beside its kind of input."""

    image_px: int = Field(128, ge=32, le=1024, description="Side of the square network input in pixels.")
    weights: str = Field("", description="ImageNet weights file of EfficientNet-B0; empty starts from random weights.")
    mask: Literal["predicted", "reference"] = Field("predicted", description="Whose mask cuts out the masked crop.")
    crop_margin: float = Field(
        0.1, ge=0, le=1, description="Margin of the masked crop on each side, as a share of the lesion's longer side."
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout before the last layer.")
    rotation_degrees: float = Field(15.0, ge=0, le=180, description="Largest random rotation in training; 0 is none.")
    brightness: float = Field(
        0.15, ge=0, lt=1, description="Largest random change of brightness in training; 0 is none."
    )


class EfficientNetSettings(EfficientNetTraining):
    """EfficientNet-B0 on masked crops, on whole images, and on whole images with radiomics."""

    inputs: list[EfficientNetInput] = Field(
        ["masked_crop", "whole_image", "whole_image_radiomics"],
        description="The classifiers to train, one for each kind of input.",
    )


class PerceptronTraining(TrainingSettings):
    """What one perceptron job needs beside its variant and its promptable model."""

    epochs: int = Field(
        40, ge=1, description="Most epochs of the perceptron alone; the epoch with the best validation loss is kept."
    )
    patience: int = Field(10, ge=1, description="Epochs without a better validation loss after which training stops.")
    hidden: list[int] = Field(
        default_factory=lambda: [256, 64], min_length=2, max_length=2, description="Widths of the two hidden layers."
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout between the layers.")
    tuning_epochs: int = Field(
        3, ge=1, description="Most epochs in which decoder, or encoder and decoder, are trained with the perceptron."
    )
    tuning_learning_rate: float = Field(
        1e-4, gt=0, description="Highest learning rate of decoder and perceptron while they are trained together."
    )
    encoder_learning_rate: float = Field(
        1e-5, gt=0, description="Highest learning rate of the image encoder where all is trained."
    )
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
