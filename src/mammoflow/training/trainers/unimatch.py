"""UniMatch: two strong views with CutMix and one with dropped features (Yang et al., CVPR 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mammoflow.config.semi_supervised import ConfidenceOptions

if TYPE_CHECKING:
    from mammoflow.training.learner import Learner, Stream

UNLABELLED = True


class Options(ConfidenceOptions):
    """Options of the trainer `unimatch`."""

    drop: float = Field(0.5, ge=0, lt=1, description="Share of the channels that the view with dropped features loses.")


def wrap(learner: Learner, unlabelled: Stream, options: Options) -> Learner:
    """Return a learner with three views of each unlabelled sample."""
    from mammoflow.training.weak_to_strong import UniMatchLearner

    return UniMatchLearner(learner, unlabelled, options, options.drop)
