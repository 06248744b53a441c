"""Two networks that learn from each other's hard labels."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from mammoflow.config.semi_supervised import SemiSupervisedOptions
from mammoflow.training.learner import Learner, Stream
from mammoflow.training.second_network import Tensors, called_with, outputs_with, second_network
from mammoflow.training.semi_supervised import Pair, SemiSupervisedLearner


class CrossSupervisedLearner(SemiSupervisedLearner):
    """Cross pseudo supervision.

    Both networks learn from the labelled samples. On the unlabelled ones each learns the hard labels of the other by
    cross-entropy; no gradient flows into labels. The first network is validated and kept.

    Parameters
    ----------
    inner, unlabelled, options
        See `SemiSupervisedLearner`.
    anew
        Layers of the second network with other random weights: `all`, or the last one (`head`).
    """

    def __init__(
        self, inner: Learner, unlabelled: Stream, options: SemiSupervisedOptions, anew: Literal["all", "head"]
    ) -> None:
        super().__init__(inner, unlabelled, options)
        self.second = second_network(inner.network, anew)

    def move(self, device: torch.device) -> None:
        """Move the second network to a device."""
        self.second.to(device)

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Return the groups of the learner, each with the same parameters of the second network."""
        names = {id(parameter): name for name, parameter in self.network.named_parameters()}
        others = dict(self.second.named_parameters())
        groups = []
        for group in self.inner.groups(rate):
            twins = [others[names[id(item)]] for item in group["params"] if id(item) in names]
            groups.append({**group, "params": [*group["params"], *twins]})
        return groups

    def loss(self, batch: Pair, epoch: int, step: int) -> Tensor:
        """Return the losses of both networks on labelled samples, and of each against the other's labels."""
        labelled, _ = batch
        second = called_with(self.network, self._tensors(), lambda: self.inner.loss(labelled, epoch, step))
        return super().loss(batch, epoch, step) + second

    def unlabelled_loss(self, batch: Any, epoch: int, step: int) -> Tensor:
        """Return the cross-entropy of each network to the hard labels of the other."""
        first = self.inner.outputs(batch).float()
        second = outputs_with(self.inner, self._tensors(), batch).float()
        labels = [(logits.detach() > 0).float() for logits in (first, second)]
        return binary_cross_entropy_with_logits(first, labels[1]) + binary_cross_entropy_with_logits(second, labels[0])

    def further_tensors(self) -> Tensors:
        """Return the second network."""
        return {f"second.{name}": tensor for name, tensor in self.second.state_dict().items()}

    def _tensors(self) -> Tensors:
        """Return the tensors of the second network, through which gradients flow."""
        return dict(self.second.state_dict(keep_vars=True))
