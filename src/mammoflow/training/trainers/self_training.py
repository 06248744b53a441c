"""Self-training in rounds: a frozen teacher labels the unlabelled samples, and its confident labels are learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mammoflow.config.semi_supervised import ConfidenceOptions

if TYPE_CHECKING:
    from mammoflow.training.learner import Learner, Stream

UNLABELLED = True


class Options(ConfidenceOptions):
    """Options of the trainer `self_training`."""

    rounds: int = Field(
        3,
        ge=2,
        description="Parts of equal length of the run. The first one learns from labelled samples only; each later one "
        "takes the weights at its beginning as the teacher.",
    )
    keep_share: float = Field(
        0.75,
        gt=0,
        le=1,
        description="Share of the samples of an unlabelled batch that are learned from: those with the largest mean "
        "confidence.",
    )
    ramp_share: float = Field(0.0, ge=0, le=1, description="Share of the steps over which the weight rises; 0: none.")


def wrap(learner: Learner, unlabelled: Stream, options: Options) -> Learner:
    """Return a learner whose teacher changes from round to round."""
    from mammoflow.training.self_training import SelfTrainingLearner

    return SelfTrainingLearner(learner, unlabelled, options, options.rounds, options.keep_share)
