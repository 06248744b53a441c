"""Labels that a network predicts on weakly changed samples and learns on strongly changed ones.

The weak view is the sample as the stream gives it, with the changes of every training sample. Labels come from the
network itself, in evaluation mode and without gradients.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mammoflow.config.semi_supervised import ConfidenceOptions
from mammoflow.training.learner import Learner, Stream
from mammoflow.training.pseudo_labels import PseudoLabels, pseudo_loss
from mammoflow.training.second_network import in_evaluation
from mammoflow.training.semi_supervised import SemiSupervisedLearner
from mammoflow.training.views import Mix, strong_view

STRONG_SHARE, FEATURE_SHARE = 0.25, 0.5
"""Weights of a strong view and of the view with dropped features in the unlabelled loss of UniMatch."""


class FixMatchLearner(SemiSupervisedLearner):
    """FixMatch: confident labels of the weak view teach one strong view.

    Parameters
    ----------
    inner, unlabelled
        See `SemiSupervisedLearner`.
    options
        Weight, ramp and confidence.
    """

    def __init__(self, inner: Learner, unlabelled: Stream, options: ConfidenceOptions) -> None:
        super().__init__(inner, unlabelled, options)
        self.confidence = options.confidence

    def labels(self, batch: Any) -> PseudoLabels:
        """Return the labels of the weak view."""
        with in_evaluation(self.inner):
            return PseudoLabels.of(self.inner.outputs(batch), self.confidence)

    def unlabelled_loss(self, batch: Any, epoch: int, step: int) -> Tensor:
        """Return the loss of a strong view against confident labels of the weak one."""
        labels = self.labels(batch)
        return pseudo_loss(self.inner.outputs(batch, strong_view), labels)


class UniMatchLearner(FixMatchLearner):
    """UniMatch: two strong views with CutMix, and the weak view with dropped features.

    With weight 1 the whole loss is twice that of the publication, (labelled + .25 + .25 + .5) / 2. Without rows and
    columns there is no CutMix.

    Parameters
    ----------
    inner, unlabelled, options
        See `FixMatchLearner`.
    drop
        Share of the channels that the view with dropped features loses; 0 leaves this view out.
    """

    def __init__(self, inner: Learner, unlabelled: Stream, options: ConfidenceOptions, drop: float) -> None:
        super().__init__(inner, unlabelled, options)
        self.drop = drop

    def unlabelled_loss(self, batch: Any, epoch: int, step: int) -> Tensor:
        """Return the weighted losses of the views against confident labels of the weak one."""
        labels = self.labels(batch)
        loss = STRONG_SHARE * (self._strong(batch, labels) + self._strong(batch, labels))
        if self.drop:
            loss = loss + FEATURE_SHARE * pseudo_loss(self.inner.outputs(batch, drop=self.drop), labels)
        return loss

    def _strong(self, batch: Any, labels: PseudoLabels) -> Tensor:
        """Return the loss of one strong view, in which rectangles of the pictures are exchanged."""
        if labels.target.dim() < 4:
            return pseudo_loss(self.inner.outputs(batch, strong_view), labels)
        mix = Mix.drawn(labels.target)
        mixed = PseudoLabels(mix(labels.target), mix(labels.valid))
        return pseudo_loss(self.inner.outputs(batch, lambda values: mix(strong_view(values))), mixed)
