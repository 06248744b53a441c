"""Cross pseudo supervision: two networks learn from each other's hard labels (Chen et al., CVPR 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mammoflow.config.semi_supervised import SemiSupervisedOptions

if TYPE_CHECKING:
    from mammoflow.training.learner import Learner, Stream

UNLABELLED = True


class Options(SemiSupervisedOptions):
    """Options of the trainer `cross_pseudo_supervision`."""

    second: Literal["all", "head"] = Field(
        "all",
        description="Layers of the second network that start from other random weights: all, or only the last one "
        "(head), for networks that start from published weights.",
    )


def wrap(learner: Learner, unlabelled: Stream, options: Options) -> Learner:
    """Return a learner with a second network, of which only the first one is validated and kept."""
    from mammoflow.training.cross_supervision import CrossSupervisedLearner

    return CrossSupervisedLearner(learner, unlabelled, options, options.second)
