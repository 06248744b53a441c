"""Mean teacher: unlabelled samples get the output of a moving average of the weights (Tarvainen and Valpola, 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.semi_supervised import TeacherOptions

if TYPE_CHECKING:
    from mammoflow.training.learner import Learner, Stream

UNLABELLED = True


class Options(TeacherOptions):
    """Options of the trainer `mean_teacher`."""


def wrap(learner: Learner, unlabelled: Stream, options: Options) -> Learner:
    """Return a learner with a teacher; the teacher is validated and kept."""
    from mammoflow.training.mean_teacher import MeanTeacherLearner

    return MeanTeacherLearner(learner, unlabelled, options)
