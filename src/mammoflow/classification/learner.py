"""How a classifier learns: cross entropy, validated by loss and AUC; and how it predicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from mammoflow.classification.batches import Batch, Loader
from mammoflow.classification.classifier import Classifier
from mammoflow.classification.front import Front, FrontOutput
from mammoflow.classification.threshold import area_under_curve
from mammoflow.config.classification import ClassWeights, Keep, TestTimeFlips
from mammoflow.run.runtime import progress
from mammoflow.training.batch_norm import recompute_statistics
from mammoflow.training.batching import Rows
from mammoflow.training.learner import Change, Learner, Watched
from mammoflow.training.memory import Halving
from mammoflow.training.plan import Plan
from mammoflow.training.views import dropped_features

STATISTICS_BATCHES = 16
"""Training batches from which the statistics of batch normalisation are computed before each validation."""

FLIPPED_AXES: dict[TestTimeFlips, list[tuple[int, ...]]] = {
    "none": [()],
    "horizontal": [(), (-1,)],
    "all": [(), (-1,), (-2,), (-2, -1)],
}
"""Axes along which pictures (..., rows, columns) are flipped for predictions."""

BEST_AUC = Watched("validation_auc", "max", smoothing=3)


class ClassifierLearner(Learner):
    """A classifier on its samples.

    Parameters
    ----------
    classifier
        Network and head.
    loader
        Gives batches of the samples.
    keep
        Which epoch is kept.
    class_weights
        Whether both classes weigh the same in the loss.
    flips
        Flips of pictures over which the logits of predictions are averaged.
    """

    shape: tuple[int, ...] = ()
    """Of the logits of one sample."""

    def __init__(
        self,
        classifier: Classifier,
        loader: Loader,
        keep: Keep,
        class_weights: ClassWeights = "balanced",
        flips: TestTimeFlips = "none",
    ) -> None:
        self.classifier, self.loader, self.flips = classifier, loader, flips
        self.network: nn.Module = classifier
        self.halving = Halving(self)  # of passes without gradients, which need less memory than those of the loop
        self.watched = BEST_AUC if keep == "best_auc" else None
        samples = loader.samples
        self.rows = {split: samples.labelled(split) for split in ("train", "validation")}
        self.weigh(samples.labels[self.rows["train"]], balanced=class_weights == "balanced")

    def weigh(self, labels: npt.NDArray[np.float32], balanced: bool) -> None:
        """Find the weights of the classes in the loss from the labels (n,) of the training samples."""
        malignant = float(labels.mean())
        self.malignant_weight = (1 - malignant) / malignant if balanced else 1.0

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the augmented training batches of an epoch."""
        return self.loader.training(self.rows["train"], epoch)

    def steps(self) -> int:
        """Return the number of training batches."""
        return self.loader.count(self.rows["train"])

    def split(self, batch: Batch) -> list[Batch]:
        """Return two halves of a batch."""
        return batch.halves()

    def loss(self, batch: Batch, epoch: int, step: int) -> Tensor:
        """Return the classification loss."""
        return self.loss_of(self.outputs(batch), batch)

    def loss_of(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the classification loss of logits (n,), and the loss that the network itself adds, if it has one."""
        loss = self.classification_loss(outputs, batch.labels)
        further = getattr(self.classifier.network, "further_loss", None)
        if further is None:
            return loss
        weight = torch.tensor(self.malignant_weight, device=outputs.device, dtype=torch.float32)
        return loss + further(batch.labels.to(outputs.device), weight)  # type: ignore[no-any-return]

    def outputs(self, batch: Batch, change: Change | None = None, drop: float = 0.0) -> Tensor:
        """Return the logits (n,) of malignancy; `change` is applied to pictures or vectors, `drop` to features."""
        device = self.classifier.mean.device
        inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.inputs.items()}
        return self.changed_logits(inputs, batch, change, drop)

    def changed_logits(self, inputs: dict[str, Tensor], batch: Batch, change: Change | None, drop: float) -> Tensor:
        """Return the logits (n,) of inputs on the device that are changed before, or whose features are dropped."""
        if change is not None:
            inputs = {name: change(tensor) for name, tensor in inputs.items()}
        with dropped_features(self.classifier.network, drop):
            return self.logits(inputs, batch)

    def logits(self, inputs: dict[str, Tensor], batch: Batch) -> Tensor:
        """Return the logits (n,) of inputs on the device."""
        vectors = None if batch.vectors is None else batch.vectors.to(self.classifier.mean.device)
        return self.classifier(inputs, vectors)  # type: ignore[no-any-return]

    def classification_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross entropy; both classes weigh the same over the training rows unless asked otherwise."""
        weight = torch.tensor(self.malignant_weight, device=logits.device, dtype=torch.float32)
        return binary_cross_entropy_with_logits(logits.float(), labels.to(logits.device), pos_weight=weight)

    def validate(self, epoch: int) -> dict[str, float]:
        """Compute the statistics of batch normalisation anew; return loss and AUC on the validation samples."""
        recompute_statistics(self.classifier, self._statistics())
        outputs: list[Tensor] = []
        targets: list[Tensor] = []
        # one batch at a time: workers put batches into shared memory, each tensor in an open file
        for batch in self.loader.plain(self.rows["validation"]):
            outputs += self.halving.run(batch, lambda part: self.outputs(part).float())
            targets.append(batch.labels)
        logits, labels = torch.cat(outputs), torch.cat(targets)
        return {
            "validation_loss": float(self.classification_loss(logits, labels)),
            "validation_auc": self.area(labels, logits.cpu()),
        }

    def area(self, labels: Tensor, logits: Tensor) -> float:
        """Return the area under the ROC curve of labels (n,) and their logits."""
        return area_under_curve(labels.numpy(), logits.numpy())

    def _statistics(self) -> Iterator[Callable[[], Tensor]]:
        """Yield forward passes over training batches as validation sees them, the same ones in every epoch."""
        order = np.random.default_rng(self.loader.seed).permutation(self.rows["train"])
        for batch in islice(self.loader.plain(order, fewest=2), STATISTICS_BATCHES):
            yield partial(self.outputs, batch)

    def predict(self, plan: Plan) -> npt.NDArray[np.float64]:
        """Return the logits of malignancy (samples,); NaN for samples without an input."""
        logits = np.full((len(self.loader.samples), *self.shape), np.nan)
        usable = np.flatnonzero(self.loader.samples.usable)
        self.mode(training=False)
        half = plan.precision != "32-true"
        batches = progress(self.loader.plain(usable), "predictions, batches", -(-len(usable) // self.loader.size))
        with torch.inference_mode(), torch.autocast(plan.device.type, torch.bfloat16, enabled=half):
            for batch in batches:
                parts = self.halving.run(batch, lambda part: self.predicted(part).double().cpu())
                logits[batch.rows] = torch.cat(list(parts)).numpy()
        return logits

    def predicted(self, batch: Batch) -> Tensor:
        """Return the logits (n,) of a batch of predictions, averaged over the flips of its pictures."""
        flipped = [self.outputs(_flipped(batch, axes)).float() for axes in FLIPPED_AXES[self.flips]]
        return torch.stack(flipped).mean(dim=0)


def _flipped(batch: Batch, axes: tuple[int, ...]) -> Batch:
    """Return a batch with its pictures flipped along some axes."""
    return replace(batch, inputs={name: tensor.flip(axes) for name, tensor in batch.inputs.items()}) if axes else batch


class FrontLearner(ClassifierLearner):
    """A classifier and the front that computes its inputs, trained together.

    The history keeps the classification loss, which is what validation measures, and the front's own loss apart.

    Parameters
    ----------
    classifier
        Already trained on the inputs that the front gave at the start.
    front
        The front.
    loader
        Gives batches without inputs.
    keep
        Which epoch is kept.
    class_weights
        Whether both classes weigh the same in the loss.
    """

    def __init__(
        self,
        classifier: Classifier,
        front: Front,
        loader: Loader,
        keep: Keep,
        class_weights: ClassWeights = "balanced",
    ) -> None:
        super().__init__(classifier, loader, keep, class_weights)
        self.front = front
        self.network = nn.ModuleDict({"classifier": classifier, "front": front})
        self.losses: dict[int, tuple[Tensor, Tensor]] = {}

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Return the classifier's group and those of the front."""
        return [{"params": list(self.classifier.parameters()), "lr": rate}, *self.front.groups()]

    def mode(self, training: bool) -> None:
        """Put the classifier into a mode; the front decides for itself."""
        self.classifier.train(training)
        self.front.mode(training)

    def state(self) -> dict[str, Tensor]:
        """Return the classifier's tensors, and those of the front with the prefix `front.`."""
        front = {f"front.{name}": tensor for name, tensor in self.front.state_dict().items()}
        return {**self.classifier.state_dict(), **front}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Copy what `state` returned into classifier and front."""
        classifier_state = {name: tensor for name, tensor in state.items() if not name.startswith("front.")}
        self.classifier.load_state_dict(classifier_state)
        self.front.load_state_dict(
            {name.removeprefix("front."): state[name] for name in state if name not in classifier_state}
        )

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the training batches of an epoch."""
        self.losses = {}
        return super().batches(epoch)

    def loss(self, batch: Batch, epoch: int, step: int) -> Tensor:
        """Return classification loss and front's loss together."""
        output: FrontOutput = self.front(batch.rows)
        classification = self.classification_loss(self.logits(output.inputs, batch), batch.labels)
        front_loss = torch.zeros_like(classification) if output.loss is None else output.loss
        # by row, so that a batch that is computed again in halves counts once
        self.losses |= dict.fromkeys(batch.rows.tolist(), (classification.detach(), front_loss.detach()))
        return classification + front_loss

    def outputs(self, batch: Batch, change: Change | None = None, drop: float = 0.0) -> Tensor:
        """Return the logits (n,) of malignancy."""
        return self.changed_logits(self.front(batch.rows).inputs, batch, change, drop)

    def validate(self, epoch: int) -> dict[str, float]:
        """Return loss and AUC of validation, and the parts of the training loss."""
        classification, further = (
            torch.stack([torch.stack(pair) for pair in self.losses.values()]).double().mean(dim=0).tolist()
        )
        return {"train_loss": classification, f"train_{self.front.loss_name}": further, **super().validate(epoch)}

    def predicted(self, batch: Batch) -> Tensor:
        """Return the logits (n,) of a batch of predictions, of which the front takes note."""
        output: FrontOutput = self.front(batch.rows)
        self.front.observe(batch.rows, output)
        return self.logits(output.inputs, batch)


def predict_lesions(learner: ClassifierLearner, plan: Plan) -> npt.NDArray[np.float64]:
    """Return the logits of malignancy (lesions,): those of the samples which show the lesions."""
    sample_of: Rows = learner.loader.samples.sample_of
    return learner.predict(plan)[sample_of]
