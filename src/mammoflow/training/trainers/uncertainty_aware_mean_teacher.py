"""Mean teacher that learns only where the teacher is certain (Yu et al., MICCAI 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mammoflow.config.semi_supervised import TeacherOptions

if TYPE_CHECKING:
    from mammoflow.training.learner import Learner, Stream

UNLABELLED = True


class Options(TeacherOptions):
    """Options of the trainer `uncertainty_aware_mean_teacher`."""

    passes: int = Field(8, ge=2, description="Noisy passes of the teacher from which its uncertainty is computed.")


def wrap(learner: Learner, unlabelled: Stream, options: Options) -> Learner:
    """Return a learner with a teacher that is followed where its mean output has a low entropy."""
    from mammoflow.training.mean_teacher import UncertaintyAwareLearner

    return UncertaintyAwareLearner(learner, unlabelled, options, options.passes)
