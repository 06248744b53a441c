"""Learning from labelled samples alone, by the learner's own loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.base import Settings

if TYPE_CHECKING:
    from mammoflow.training.learner import Learner, Stream

UNLABELLED = False
"""Whether the trainer learns from unlabelled samples too."""


class Options(Settings):
    """Options of supervised learning: none."""


def wrap(learner: Learner, unlabelled: Stream | None, options: Options) -> Learner:
    """Return the learner as it is; unlabelled batches are not looked at."""
    return learner
