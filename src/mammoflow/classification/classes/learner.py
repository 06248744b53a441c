"""How several classes are learned: softmax and cross entropy, validated by the mean AUC of each class with the rest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mammoflow.classification.classes.probabilities import class_weights, macro_area
from mammoflow.classification.classifier import Classifier
from mammoflow.classification.learner import ClassifierLearner


class ClassClassifier(Classifier):
    """A classifier whose head has one output for each class."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        bias: Tensor = self.get_parameter(f"head.{len(self.head) - 1}.bias")
        return len(bias)

    def forward(self, inputs: dict[str, Tensor], vectors: Tensor | None = None) -> Tensor:
        """Return the logits (n, classes); the parameters are those of `Classifier.forward`."""
        return self.outputs(inputs, vectors)


class ClassLearner(ClassifierLearner):
    """A classifier of several classes on its samples; labels are numbers of classes.

    The parameters are those of `ClassifierLearner`.
    """

    classifier: ClassClassifier

    def weigh(self, labels: npt.NDArray[np.float32], balanced: bool) -> None:
        """Find the weights of the classes in the loss from the labels (n,) of the training samples."""
        classes = self.classifier.classes
        self.shape = (classes,)
        self.class_weights = class_weights(labels, classes, balanced)

    def classification_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross entropy; all classes weigh the same over the training rows unless asked otherwise.

        The sum of weighted losses is divided by the number of samples and not by the sum of their weights, so that the
        loss of a batch does not depend on which classes meet in it, and its halves add up to it.
        """
        weights = torch.tensor(self.class_weights, device=logits.device, dtype=torch.float32)
        target = labels.to(logits.device).long()
        return cross_entropy(logits.float(), target, weight=weights, reduction="sum") / len(target)

    def area(self, labels: Tensor, logits: Tensor) -> float:
        """Return the mean AUC of each class against the rest, of labels (n,) and logits (n, classes)."""
        return macro_area(labels.numpy(), torch.softmax(logits.double(), dim=1).numpy())
