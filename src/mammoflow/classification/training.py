"""The one training loop: every classifier is fitted, stopped, resumed and asked for probabilities here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from mammoflow.classification.cases import Samples
from mammoflow.classification.threshold import area_under_curve
from mammoflow.config.classification import TrainingSettings
from mammoflow.errors import StudyError
from mammoflow.run.runtime import progress, seed_everything
from mammoflow.training.fitting import (
    BEST,
    FINISHED,
    LAST,
    Order,
    Precision,
    Rows,
    batches,
    make_trainer,
    one_cycle,
    precision,
    quiet_lightning,
)

History = list[dict[str, float]]

LARGEST_GRADIENT = 1.0


@dataclass(frozen=True)
class Scores:
    """What a classifier says about a batch.

    Attributes
    ----------
    logits
        (n,) of malignancy.
    other_loss
        Scalar that training adds to the classification loss, or None.
    mask_logits
        (n, 1, rows, columns) low-resolution mask logits of a promptable model, or None.
    """

    logits: Tensor
    other_loss: Tensor | None = None
    mask_logits: Tensor | None = None


class Classifier(nn.Module, ABC):
    """A network that holds its inputs and is asked for samples by their row.

    Only trained parameters and buffers are registered, so that `state_dict` is what is worth keeping.
    """

    @abstractmethod
    def forward(self, rows: Rows) -> Scores:
        """Score the samples of some rows."""

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Return the optimiser's parameter groups, each with its highest learning rate."""
        return [{"params": [item for item in self.parameters() if item.requires_grad], "lr": learning_rate}]


@dataclass(frozen=True)
class Plan:
    """How one fit is done: limits, rates, the seed, the device, and whether the time goes into a transformer."""

    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int
    device: torch.device
    transformer: bool = False

    @classmethod
    def of(cls, settings: TrainingSettings, epochs: int, learning_rate: float, device: torch.device) -> Plan:
        """Take from the settings what does not differ between the fits of one training."""
        return cls(
            epochs,
            settings.patience,
            settings.batch_size,
            learning_rate,
            settings.weight_decay,
            settings.seed,
            device,
        )

    @property
    def precision(self) -> Precision:
        """bf16 where it pays: on a GPU that has it, and for transformers on a CPU with instructions for it.

        EfficientNet-B0 in channels-last order takes the same time on such a CPU either way.
        """
        return precision(self.device, self.transformer)


@dataclass(frozen=True)
class Fit:
    """What came of a fit: the learning curve, the epoch that was kept, and the epoch that it was resumed from."""

    history: History
    chosen_epoch: int
    resumed_from: int


class _Loop(lightning.LightningModule):
    """Lightning's view of a classifier: losses, optimiser, learning curve."""

    def __init__(self, classifier: Classifier, samples: Samples, plan: Plan, label: str) -> None:
        super().__init__()
        self.classifier = classifier
        self.plan = plan
        self.label = label
        self.rows = {split: samples.labelled(split) for split in ("train", "validation")}
        self.labels = samples.labels
        malignant = float(samples.labels[self.rows["train"]].mean())
        self.malignant_weight = (1 - malignant) / malignant
        self.history: History = []
        self.train_losses: list[tuple[float, int]] = []
        self.validation_logits: list[Tensor] = []
        self.ticks: Iterator[int] = iter(())

    def classification_loss(self, logits: Tensor, rows: Rows) -> Tensor:
        """Return the cross entropy in which both classes weigh the same over the training rows."""
        labels = torch.as_tensor(self.labels[rows], device=logits.device)
        weight = torch.as_tensor(self.malignant_weight, device=logits.device, dtype=torch.float32)
        return binary_cross_entropy_with_logits(logits.float(), labels, pos_weight=weight)

    def batch_count(self) -> int:
        return len(batches(self.rows["train"], self.plan.batch_size, None))

    def train_dataloader(self) -> Order:
        generator = np.random.default_rng([self.plan.seed, self.current_epoch])
        return Order(batches(self.rows["train"], self.plan.batch_size, generator))

    def val_dataloader(self) -> Order:
        return Order(batches(self.rows["validation"], self.plan.batch_size, None))

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # rows; the classifier holds the inputs

    def on_train_start(self) -> None:
        done, per_epoch = self.current_epoch, self.batch_count()
        self.ticks = progress(range((self.plan.epochs - done) * per_epoch), f"training {self.label}, batches")

    def on_train_epoch_start(self) -> None:
        # each epoch has its own seed, so a resumed run draws what an unbroken one would have drawn
        torch.manual_seed(self.plan.seed * 100_003 + self.current_epoch)
        self.train_losses.clear()

    def training_step(self, batch: Rows, index: int) -> Tensor:
        next(self.ticks, None)
        scores = self.classifier(batch)
        loss = self.classification_loss(scores.logits, batch)
        if scores.other_loss is not None:
            loss = loss + scores.other_loss
        self.train_losses.append((float(loss.detach()), len(batch)))
        return loss

    def on_validation_epoch_start(self) -> None:
        self.validation_logits.clear()

    def validation_step(self, batch: Rows, index: int) -> None:
        self.validation_logits.append(self.classifier(batch).logits.float())

    def on_validation_epoch_end(self) -> None:
        logits = torch.cat(self.validation_logits)
        self.log("validation_loss", self.classification_loss(logits, self.rows["validation"]))

    def on_train_epoch_end(self) -> None:
        logits = torch.cat(self.validation_logits).cpu().numpy()
        losses = np.array(self.train_losses)
        self.history.append(
            {
                "epoch": self.current_epoch + 1,
                "train_loss": float(np.average(losses[:, 0], weights=losses[:, 1])),
                "validation_loss": float(self.trainer.callback_metrics["validation_loss"]),
                "validation_auc": area_under_curve(self.labels[self.rows["validation"]], logits),
            }
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = list(checkpoint["history"])

    def configure_optimizers(self) -> Any:
        groups = self.classifier.parameter_groups(self.plan.learning_rate)
        optimizer = torch.optim.AdamW(groups, weight_decay=self.plan.weight_decay)
        steps = self.plan.epochs * self.batch_count()
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def fit(classifier: Classifier, samples: Samples, plan: Plan, state: Path, label: str) -> Fit:
    """Train a classifier and leave it with the weights of its best epoch, on the plan's device.

    Training state goes to `state` after each epoch; a call that finds one there goes on from it. The epoch with the
    least validation loss is kept.

    Parameters
    ----------
    classifier
        What is trained.
    samples
        Labels and splits; test rows are not looked at.
    plan
        Limits, rates, seed, device.
    state
        Folder for checkpoints, of this training alone.
    label
        What the progress lines call it.

    Raises
    ------
    StudyError
        If train lacks a class, validation is empty, or the loss is not a number from the first epoch on.
    """
    samples.check()
    seed_everything(plan.seed)
    loop = _Loop(classifier, samples, plan, label)
    last = state / LAST
    saved = torch.load(last, map_location="cpu", weights_only=True) if last.is_file() else None
    resumed_from = len(saved["history"]) if saved else 0
    if saved is None or not (state / FINISHED).is_file():
        _run(loop, plan, state, last if saved else None)
        saved = torch.load(last, map_location="cpu", weights_only=True)
        (state / FINISHED).touch()
    history: History = saved["history"]
    losses = np.array([epoch["validation_loss"] for epoch in history])
    if not np.isfinite(losses).any():
        raise StudyError(
            f"training {label} gave a validation loss that is not a number in every epoch; expected a finite one. "
            f"Lower the learning rate (now {plan.learning_rate:g})"
        )
    loop.load_state_dict(torch.load(state / BEST, map_location="cpu", weights_only=True)["state_dict"])
    loop.to(plan.device)
    classifier.eval()
    return Fit(history, int(np.nanargmin(losses)) + 1, resumed_from)


def _run(loop: _Loop, plan: Plan, state: Path, resume: Path | None) -> None:
    with quiet_lightning():
        trainer = make_trainer(
            state, plan.device, plan.precision, plan.epochs, plan.patience, ("validation_loss", "min"), LARGEST_GRADIENT
        )
        trainer.fit(loop, ckpt_path=resume, weights_only=True)


def predict(
    classifier: Classifier, rows: Rows, plan: Plan, observe: Callable[[Rows, Scores], None] | None = None
) -> npt.NDArray[np.float64]:
    """Return the probability of malignancy (n,) of some rows.

    Parameters
    ----------
    classifier
        A trained classifier, on the plan's device.
    rows
        Samples to predict.
    plan
        Batch size and device.
    observe
        Called with each batch and its scores.
    """
    classifier.eval()
    half = plan.precision != "32-true"
    parts: list[npt.NDArray[np.float64]] = []
    with torch.inference_mode(), torch.autocast(plan.device.type, torch.bfloat16, enabled=half):
        for batch in progress(batches(rows, plan.batch_size, None), "predictions, batches"):
            scores = classifier(batch)
            parts.append(scores.logits.double().sigmoid().cpu().numpy())
            if observe is not None:
                observe(batch, scores)
    return np.concatenate(parts) if parts else np.zeros(0)
