"""FixMatch: confident labels of a weak view teach a strong view (Sohn et al., NeurIPS 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.semi_supervised import ConfidenceOptions

if TYPE_CHECKING:
    from mammoflow.training.learner import Learner, Stream

UNLABELLED = True


class Options(ConfidenceOptions):
    """Options of the trainer `fixmatch`."""


def wrap(learner: Learner, unlabelled: Stream, options: Options) -> Learner:
    """Return a learner that predicts labels on the augmented samples and learns them on strongly changed ones."""
    from mammoflow.training.weak_to_strong import FixMatchLearner

    return FixMatchLearner(learner, unlabelled, options)
