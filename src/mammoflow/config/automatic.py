"""Options of the recipe that trains automatic segmentation models."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mammoflow.config.augmentation import AUGMENTATIONS, Augmentation
from mammoflow.config.few_labels import FewLabelsSettings, LabelKindSettings
from mammoflow.config.training import TrainingSettings

AutomaticLoss = Literal["bce", "dice_bce"]


class AutomaticTrainingSettings(TrainingSettings):
    """How an automatic model is trained, and what of an image it sees."""

    epochs: int = Field(60, ge=1, description="Passes over the training images.")
    batch_size: int = Field(8, ge=1, description="Images or patches in a batch; halved where memory runs out.")
    input: Literal["whole", "patch"] = Field(
        "whole",
        description="What a batch holds: whole images, reduced until their longest side has side_px pixels; or patches "
        "of side_px pixels of images with pixels of spacing_mm. A trained model looks at whole images in both cases.",
    )
    side_px: int = Field(
        256, ge=32, le=4096, multiple_of=32, description="Side of the network's input in pixels: a multiple of 32."
    )
    spacing_mm: float = Field(0.5, gt=0, description="For input: patch, millimetres from pixel to pixel.")
    patches: int = Field(2, ge=1, le=64, description="For input: patch, patches of each image in an epoch.")
    lesion_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="For input: patch, share of the patches of an image with lesions that hold a pixel of a lesion; "
        "the others lie anywhere.",
    )
    loss: AutomaticLoss = Field(
        "dice_bce",
        description="Cross-entropy, averaged over pixels (bce), or its sum with the soft Dice loss of each image "
        "(dice_bce).",
    )
    augmentation: Augmentation = Field(
        "standard",
        description="Random changes of training images: standard (flips, rotation, scale, contrast, brightness), none, "
        f"or a list of {', '.join(AUGMENTATIONS)}. References move with their images.",
    )
    copy_paste: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the labelled training images into which a lesion of another one is blended, as "
        "supplementary data; the record says so.",
    )
    few_labels: FewLabelsSettings = Field(
        default_factory=FewLabelsSettings, description="Training patients whose labels are used."
    )
    labels: LabelKindSettings = Field(
        default_factory=LabelKindSettings, description="What the labels are: masks, boxes, points, or of whole images."
    )
