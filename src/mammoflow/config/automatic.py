"""Options of the recipe that trains automatic segmentation models."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mammoflow.config.architectures import architecture as architecture_of
from mammoflow.config.augmentation import AUGMENTATIONS, Augmentation
from mammoflow.config.base import Settings
from mammoflow.config.few_labels import FewLabelsSettings, LabelKindSettings
from mammoflow.config.inference import Colour
from mammoflow.config.mask_losses import MASK_LOSSES
from mammoflow.config.members import MemberOf, NoOptions, OptionsOf
from mammoflow.config.paths import UserPath
from mammoflow.config.synthetic_lesions import SyntheticLesionSettings
from mammoflow.config.training import TrainingSettings

EncoderTraining = Literal["auto", "trained", "frozen"]


class AutomaticInputSettings(TrainingSettings):
    """What an automatic model sees of an image."""

    input: Literal["whole", "stretched", "patch"] = Field(
        "whole",
        description="What a batch holds: whole images, reduced until their longest side has side_px pixels; stretched "
        "images, whose height and width both become side_px, so that shapes change; or patches of side_px pixels of "
        "images with pixels of spacing_mm. A trained model processes whole images in all cases.",
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
        description="For input: patch, share of the patches of an image with lesions that contain a pixel of a lesion; "
        "the others are anywhere.",
    )
    colour: Colour = Field(
        "grey",
        description="What the network sees of pictures whose colours differ: their grey levels, or red, green and blue "
        "(rgb), for which images.colour is keep. A picture without colours is grey in three equal channels.",
    )
    clahe_clip: float | None = Field(
        None,
        gt=0,
        description="Clip limit of CLAHE (contrast-limited adaptive histogram equalisation) on the network's grid, "
        "such as 2; null leaves the grey levels as they are.",
    )
    clahe_tiles: int = Field(8, ge=1, le=64, description="For CLAHE, tiles along each side of the image.")
    augmentation: Augmentation = Field(
        "standard",
        description="Random changes of training images: standard (flips, rotation, scale, contrast, brightness), "
        f"flips, none, or a list of {', '.join(AUGMENTATIONS)}. References move with their images.",
    )

    @model_validator(mode="after")
    def check_clahe(self) -> Self:
        """Refuse CLAHE of colours."""
        if self.colour == "rgb" and self.clahe_clip is not None:
            raise ValueError(
                f"clahe_clip is {self.clahe_clip} and colour is rgb, but CLAHE is for grey levels; expected "
                "clahe_clip: null or colour: grey"
            )
        return self


class AutomaticTrainingSettings(AutomaticInputSettings):
    """How an automatic model is trained."""

    epochs: int = Field(60, ge=1, description="Passes over the training images.")
    batch_size: int = Field(8, ge=1, description="Images or patches in a batch; halved where memory runs out.")
    learning_rate: float = Field(1e-3, gt=0, description="Highest learning rate of AdamW.")
    patience: int | None = Field(
        None, ge=1, description="Epochs without a better figure after which training stops; null trains all epochs."
    )
    patience_on: Literal["validation_dice", "train_loss"] = Field(
        "validation_dice", description="Figure whose improvement patience waits for."
    )
    keep: Literal["best", "last"] = Field(
        "best", description="Keep the epoch with the largest validation Dice, or the last one."
    )
    threshold: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Probability above which a pixel is lesion; null chooses it by the mean Dice of the validation "
        "images.",
    )
    schedule: Literal["one_cycle", "cosine", "plateau", "constant"] = Field(
        "one_cycle",
        description="Course of the learning rate: it rises and falls once (one_cycle), falls along a cosine (cosine), "
        "is multiplied by plateau_factor whenever the validation loss was not better for more than plateau_epochs "
        "epochs (plateau), or stays as it is (constant).",
    )
    plateau_epochs: int = Field(25, ge=0, description="For schedule: plateau, epochs without a better loss.")
    plateau_factor: float = Field(0.1, gt=0, lt=1, description="For schedule: plateau, factor of the learning rate.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="Numbers in which training computes: auto takes bf16 on a GPU that has it, and for transformers on "
        "a CPU that has it. bf16 halves the time of a U-Net on such a CPU.",
    )
    loss: Annotated[str, MemberOf(MASK_LOSSES)] = Field(
        "dice_bce", description="How far logits are from the reference; each loss has its own options."
    )
    loss_options: Annotated[Settings, OptionsOf(MASK_LOSSES, "loss")] = Field(
        default_factory=NoOptions, validate_default=True, description="Options of the loss, such as its weights."
    )
    encoder_weights: UserPath = Field(
        "",
        description="Weights from which the encoder starts: a file; published for those that a package brings; empty "
        "for random ones, or those of the model that the training starts from.",
    )
    encoder: EncoderTraining = Field(
        "auto",
        description="Whether the encoder is trained. auto freezes an encoder with weights where the publication does: "
        "in SAM2-UNet on Hiera, whose adapters are trained, and with visual prompts.",
    )
    visual_prompts: int = Field(
        0,
        ge=0,
        le=1000,
        description="Learned tokens before each layer of a vision transformer (visual prompt tuning, VPT-deep; 50 in "
        "the publication); 0 adds none.",
    )
    decoder_rate: float = Field(
        1.0, gt=0, description="Learning rate of the other parts of the network, as a multiple of learning_rate."
    )
    copy_paste: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the labelled training images into which a lesion of another one is blended, as "
        "supplementary data; the record says so. It needs masks: labels.kind is masks or boxes.",
    )
    synthetic_lesions: SyntheticLesionSettings = Field(
        default_factory=SyntheticLesionSettings,
        description="Synthetic lesions that copy_paste blends in place of copies, as supplementary data; the record "
        "says so.",
    )
    few_labels: FewLabelsSettings = Field(
        default_factory=FewLabelsSettings, description="Training patients whose labels are used."
    )
    labels: LabelKindSettings = Field(
        default_factory=LabelKindSettings, description="What the labels are: masks, boxes, points, or of whole images."
    )


def check_channels(options: AutomaticInputSettings, architecture: str) -> None:
    """Refuse colours for an architecture that sees a single channel.

    Raises
    ------
    ValueError
        Naming the key below `train`.
    """
    if options.colour == "rgb" and architecture_of(architecture).channels == 1:
        raise ValueError(
            f"options.colour is rgb, but {architecture} has one input channel; expected an architecture with three, "
            "such as unet_16, or options.colour: grey"
        )
