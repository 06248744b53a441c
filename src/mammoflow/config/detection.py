"""Settings of segmentation without prompts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mammoflow.config.base import Settings
from mammoflow.config.inference import InferenceSettings

ComponentScore = Literal["max", "mean"]
HitRule = Literal["iou", "centre"]


class DetectionSettings(Settings):
    """How a probability map becomes components, and when a component hits a lesion."""

    threshold: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Probability above which a pixel belongs to a lesion. null uses the threshold that the training "
        "of the weights chose on validation, or 0.5 if the weights name none.",
    )
    least_area_mm2: float = Field(5.0, ge=0, description="Components with a smaller area are dropped.")
    score: ComponentScore = Field(
        "max", description="Score of a component: the largest (max) or the mean probability of its pixels."
    )
    hit: HitRule = Field(
        "iou",
        description="When a component hits a lesion: their IoU is at least least_iou (iou), or the centroid of the "
        "component is in the lesion's mask (centre).",
    )
    least_iou: float = Field(0.1, gt=0, le=1, description="For hit: iou, the smallest IoU of a hit.")


class AutomaticSettings(InferenceSettings):
    """What one job of segmentation without prompts needs beside its model."""

    detection: DetectionSettings = Field(
        default_factory=DetectionSettings, description="Components of a probability map, and what a hit is."
    )
