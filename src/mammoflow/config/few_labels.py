"""Settings of learning from few labels: which training patients keep theirs, and the batches of the others."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mammoflow.config.base import Seed, Settings
from mammoflow.config.paths import UserPath

IMAGES_TOGETHER = 4
"""Images that a promptable model encodes together where it makes masks of boxes."""


class FewLabelsSettings(Settings):
    """The labels of training patients that a training uses; validation and test keep all of theirs."""

    fraction: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the training patients whose labels are used. The others become unlabelled; trainers with "
        "an unlabelled stream learn from their images. The patients of a smaller share are among those of "
        "a larger one.",
    )
    draw: Seed = Field(0, description="Number of the draw of these patients; each number draws others.")
    unlabelled_batch_size: int | None = Field(
        None, ge=1, description="Unlabelled samples in a batch; null takes batch_size."
    )
    epoch_batches: int | None = Field(
        None,
        ge=1,
        description="Labelled batches in an epoch, so that trainings with different shares take equally many steps; "
        "samples then come as often as needed. null uses each sample once.",
    )


class LabelKindSettings(Settings):
    """What a label of a training image is; validation images always have the masks of the study."""

    kind: Literal["masks", "boxes", "points", "image"] = Field(
        "masks",
        description="masks: the reference masks. boxes: a promptable model turns the box of each lesion into a mask. "
        "points: the centre of each lesion; what is near it is not known. image: only whether the image "
        "has a lesion, learned from the largest probabilities of its map.",
    )
    model: str = Field(
        "small",
        min_length=1,
        description="For kind: boxes, the published promptable model that makes masks, such as small or lite_medsam.",
    )
    weights: UserPath = Field(
        "",
        description="For kind: boxes, the weights file of that model; empty takes that of segmentation.models, of "
        "prefetch.folder, or of its package.",
    )
    margin_mm: float = Field(
        0.0, ge=0, description="For kind: boxes, millimetres by which the box of a lesion is enlarged."
    )
    point_mm: float = Field(
        1.5, gt=0, description="For kind: points, radius around the point within which pixels count as lesion."
    )
    healthy_beyond_mm: float = Field(
        25.0,
        gt=0,
        description="For kind: points, distance from every point beyond which pixels count as healthy; those between "
        "are ignored.",
    )
    top_share: float = Field(
        0.02,
        gt=0,
        le=1,
        description="For kind: image, share of the pixels, those with the largest probabilities, whose mean is the "
        "probability of the image.",
    )
    sparsity: float = Field(0.1, ge=0, description="For kind: image, weight of the mean probability of all pixels.")
    partly_annotated: bool = Field(
        False,
        description="Whether images are used whose reference is not complete, with a loss only where it is known: for "
        "lesions with a box only, everywhere outside the boxes; for images with unknown lesions, around "
        "the masks of the known ones.",
    )
    ring_mm: float = Field(
        5.0, ge=0, description="For partly_annotated, how far around the box of a mask healthy tissue counts as known."
    )
