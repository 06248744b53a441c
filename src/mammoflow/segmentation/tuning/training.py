"""The one trainer of tuned models: steps that fit the memory, early stopping on validation Dice, resume."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from torch import Tensor

from mammoflow.config.tuning import TuneSettings
from mammoflow.errors import StudyError
from mammoflow.run.runtime import progress, seed_everything
from mammoflow.segmentation.layers.attention_blocks import checkpointed
from mammoflow.segmentation.prompted.batches import Batches
from mammoflow.segmentation.tuning.decoding import Decoding
from mammoflow.segmentation.tuning.methods import Prepared, changing_state, set_mode
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

LARGEST_GRADIENT = 1.0
WATCHED = "validation_dice"

History = list[dict[str, float]]


@dataclass(frozen=True)
class Tuned:
    """What came of a tuning.

    Attributes
    ----------
    history
        One row an epoch: `epoch`, `train_loss`, `validation_dice`.
    chosen_epoch
        The epoch that was kept; 0 where none was better than the weights at the start.
    dice_before
        Validation Dice of the weights at the start.
    resumed_from
        Epochs that an earlier call had done.
    precision
        Arithmetic of the training.
    """

    history: History
    chosen_epoch: int
    dice_before: float
    resumed_from: int
    precision: Precision


class _Loop(lightning.LightningModule):
    """Lightning's view of a model that is tuned."""

    def __init__(self, prepared: Prepared, decoding: Decoding, settings: TuneSettings, margin_mm: float) -> None:
        super().__init__()
        self.automatic_optimization = False  # a step is cut into parts where memory runs out
        self.strict_loading = False  # a checkpoint holds what changes and nothing else
        self.network = prepared.model.network
        self.prepared, self.decoding, self.settings, self.margin_mm = prepared, decoding, settings, margin_mm
        self.rows = {split: decoding.data.rows(split) for split in ("train", "validation")}
        self.parts = Batches(settings.batch_size, "lesions")
        self.history: History = []
        self.losses: list[tuple[float, int]] = []
        self.found: list[float] = []
        self.ticks: Iterator[int] = iter(())

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:  # type: ignore[override]
        """Return what a checkpoint must keep: frozen weights come from the model's own file."""
        return changing_state(self.network)

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Take over what `state_dict` gave."""
        return self.network.load_state_dict(state, strict=False, assign=assign)

    def train_dataloader(self) -> Order:
        generator = np.random.default_rng([self.settings.seed, self.current_epoch])
        return Order(batches(self.rows["train"], self.settings.batch_size, generator))

    def val_dataloader(self) -> Order:
        return Order(batches(self.rows["validation"], self.settings.batch_size, None))

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # rows; the decoding holds the inputs

    def batch_count(self) -> int:
        return len(batches(self.rows["train"], self.settings.batch_size, None))

    def on_train_start(self) -> None:
        left = (self.settings.epochs - self.current_epoch) * self.batch_count()
        self.ticks = progress(range(left), f"tuning {self.prepared.model.name}, batches")

    def on_train_epoch_start(self) -> None:
        # each epoch has its own seed, so a resumed run draws what an unbroken one would have drawn
        torch.manual_seed(self.settings.seed * 100_003 + self.current_epoch)
        set_mode(self.prepared, training=True)
        self.losses.clear()

    def training_step(self, batch: Rows, index: int) -> None:
        """Take one step of the optimiser, over as many lesions at a time as memory holds."""
        next(self.ticks, None)
        optimizer: Any = self.optimizers()
        parameters = self.prepared.parameters
        kinds = self.settings.kinds
        kind = kinds[int(np.random.default_rng([self.settings.seed, self.current_epoch, index]).integers(len(kinds)))]

        def gradients(rows: Sequence[int]) -> tuple[float, Sequence[Tensor | None]]:
            share = len(rows) / len(batch)
            loss = self.decoding.loss(np.asarray(rows), self.current_epoch, kind) * share
            with torch.autocast(self.device.type, enabled=False):
                found = torch.autograd.grad(loss, parameters, allow_unused=True)
            return float(loss.detach()), found

        optimizer.zero_grad()
        total = 0.0
        # gradients are taken at once and added after, so that a part that ran out of memory leaves nothing behind
        for loss, found in self.parts.run(batch.tolist(), gradients):
            total += loss
            for parameter, gradient in zip(parameters, found, strict=True):
                if gradient is not None:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        self.clip_gradients(optimizer, gradient_clip_val=LARGEST_GRADIENT, gradient_clip_algorithm="norm")
        optimizer.step()
        schedule: Any = self.lr_schedulers()
        schedule.step()
        self.losses.append((total, len(batch)))

    def on_validation_epoch_start(self) -> None:
        set_mode(self.prepared, training=False)
        self.found.clear()

    def validation_step(self, batch: Rows, index: int) -> None:
        self.found += self.decoding.dice(batch, self.margin_mm).tolist()

    def on_validation_epoch_end(self) -> None:
        self.log(WATCHED, torch.tensor(np.mean(self.found), dtype=torch.float32))
        set_mode(self.prepared, training=True)

    def on_train_epoch_end(self) -> None:
        losses = np.array(self.losses)
        self.history.append(
            {
                "epoch": self.current_epoch + 1,
                "train_loss": float(np.average(losses[:, 0], weights=losses[:, 1])),
                "validation_dice": float(self.trainer.callback_metrics[WATCHED]),
            }
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = list(checkpoint["history"])

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.prepared.groups, weight_decay=self.settings.weight_decay)
        steps = self.settings.epochs * self.batch_count()
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def tune_weights(
    prepared: Prepared, decoding: Decoding, settings: TuneSettings, margin_mm: float, state: Path, device: torch.device
) -> Tuned:
    """Tune a model and leave it with the weights of its best epoch, in evaluation mode.

    Training state goes to `state` after each epoch; a call that finds one there goes on from it. The epoch with the
    best validation Dice is kept, or the weights at the start where no epoch is better than they.

    Parameters
    ----------
    prepared
        The model and what is trained of it.
    decoding
        Lesions, prompts, embeddings, loss.
    settings
        Limits, rates, seed.
    margin_mm
        Margin of the box at which the validation lesions are decoded.
    state
        Folder for checkpoints, of this tuning alone.
    device
        Where the model lies.

    Raises
    ------
    StudyError
        If the weights are no longer finite.
    """
    seed_everything(settings.seed)
    arithmetic = precision(device, transformer=True) if settings.mixed_precision else "32-true"
    before = _dice(prepared, decoding, settings, margin_mm, arithmetic, device)
    start = {name: tensor.detach().cpu().clone() for name, tensor in changing_state(prepared.model.network).items()}
    loop = _Loop(prepared, decoding, settings, margin_mm)
    last = state / LAST
    saved = torch.load(last, map_location="cpu", weights_only=True) if last.is_file() else None
    resumed_from = len(saved["history"]) if saved else 0
    if saved is None or not (state / FINISHED).is_file():
        keeping = checkpointed(loop.network) if settings.gradient_checkpointing else contextlib.nullcontext()
        with quiet_lightning(), keeping:
            trainer = make_trainer(
                state, device, arithmetic, settings.epochs, settings.patience, (WATCHED, "max"), largest_gradient=None
            )
            trainer.fit(loop, ckpt_path=last if saved else None, weights_only=True)
        saved = torch.load(last, map_location="cpu", weights_only=True)
        (state / FINISHED).touch()
    history: History = saved["history"]
    found = [epoch["validation_dice"] for epoch in history]
    better = max(found) > before
    kept = torch.load(state / BEST, map_location="cpu", weights_only=True)["state_dict"] if better else start
    if not all(torch.isfinite(tensor).all() for tensor in kept.values()):
        raise StudyError(
            f"tuning {prepared.model.name} gave weights that are not finite; lower the learning rates "
            f"(now {settings.learning_rate:g}, {settings.encoder_learning_rate:g}, {settings.added_learning_rate:g})"
        )
    loop.load_state_dict(kept)
    loop.to(device)
    set_mode(prepared, training=False)
    return Tuned(history, int(np.argmax(found)) + 1 if better else 0, before, resumed_from, arithmetic)


def _dice(
    prepared: Prepared,
    decoding: Decoding,
    settings: TuneSettings,
    margin_mm: float,
    arithmetic: Precision,
    device: torch.device,
) -> float:
    """Return the mean validation Dice of the model as it is, in the arithmetic of the training."""
    set_mode(prepared, training=False)
    rows = batches(decoding.data.rows("validation"), settings.batch_size, None)
    with torch.autocast(device.type, torch.bfloat16, enabled=arithmetic != "32-true"):
        found = [decoding.dice(part, margin_mm) for part in progress(rows, "validation before tuning, batches")]
    return float(np.float32(np.mean(np.concatenate(found))))
