"""Mutual consistency: decoders that differ in their upsampling agree on all samples (Wu et al., MedIA 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mammoflow.config.semi_supervised import SemiSupervisedOptions

if TYPE_CHECKING:
    from mammoflow.training.learner import Learner, Stream

UNLABELLED = True


class Options(SemiSupervisedOptions):
    """Options of the trainer `mutual_consistency`."""

    upsampling: list[Literal["transposed", "nearest", "bilinear"]] = Field(
        ["transposed", "nearest"],
        min_length=1,
        max_length=2,
        description="How the further decoders upsample; the first decoder is that of the network.",
    )
    temperature: float = Field(
        0.1, gt=0, le=1, description="Temperature that sharpens what a decoder is to agree with."
    )


def wrap(learner: Learner, unlabelled: Stream, options: Options) -> Learner:
    """Return a learner with further decoders, of which only the network's own is validated and kept."""
    from mammoflow.training.mutual_consistency import MutualConsistencyLearner

    return MutualConsistencyLearner(learner, unlabelled, options, options.upsampling, options.temperature)
