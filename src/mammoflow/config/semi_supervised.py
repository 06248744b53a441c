"""Options that trainers with unlabelled samples share: the weight of the unlabelled loss and its course over a run."""

from __future__ import annotations

from pydantic import Field

from mammoflow.config.base import Settings


class SemiSupervisedOptions(Settings):
    """Weight of the loss of unlabelled samples, as shares of the steps of a run."""

    weight: float = Field(
        1.0,
        ge=0,
        description="Weight of the loss of unlabelled samples at the end of its ramp; 1 is the labelled loss.",
    )
    start_share: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="Share of the steps of the run before which only labelled samples count, because the first "
        "predictions say nothing.",
    )
    ramp_share: float = Field(
        0.4,
        ge=0,
        le=1,
        description="Share of the steps of the run at which the weight reaches its full value; before, it is weight x "
        "exp(-5 (1 - t)^2), where t rises from 0 to 1. 0 has no ramp.",
    )


class TeacherOptions(SemiSupervisedOptions):
    """Options of trainers whose teacher is a moving average of the trained weights."""

    decay: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="Share of the teacher that each step keeps; in the first steps t it is at most 1 - 1 / (t + 1).",
    )
    noise: float = Field(
        0.1,
        ge=0,
        description="Standard deviation of the noise on the teacher's inputs, as a share of that of the inputs; it is "
        "cut at twice this value.",
    )


class ConfidenceOptions(SemiSupervisedOptions):
    """Options of trainers that learn from confident predictions."""

    confidence: float = Field(
        0.95,
        ge=0.5,
        lt=1,
        description="Least probability of the predicted class from which on a pixel or a sample is learned from; the "
        "others are ignored and do not become background.",
    )
    start_share: float = Field(
        0.0, ge=0, lt=1, description="Share of the steps of the run before which only labelled samples count."
    )
