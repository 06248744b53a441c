"""What every training shares: shuffled batches, the one-cycle rate, precision by device, and Lightning kept quiet."""

from __future__ import annotations

import logging
import math
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as lightning
import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from mammoflow.run.runtime import has_native_bf16

Rows = npt.NDArray[np.intp]
Precision = Literal["bf16-mixed", "32-true"]

RISING_SHARE = 0.2
LAST = "last.ckpt"
BEST = "best.ckpt"
FINISHED = "finished"


def batches(rows: Rows, size: int, generator: np.random.Generator | None) -> list[Rows]:
    """Cut rows into batches, shuffled where a generator is given; a last batch of one joins the one before.

    Batch normalisation has no deviation over a single sample.
    """
    order = rows if generator is None else generator.permutation(rows)
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [np.concatenate(parts[-2:])]
    return parts


class Order:
    """Batches in an order of their own; Lightning would take a plain list for several loaders."""

    def __init__(self, parts: list[Rows]) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Rows]:
        return iter(self.parts)


def one_cycle(step: int, steps: int) -> float:
    """Return the share of the highest learning rate: up along a line for a fifth of the steps, then down a cosine."""
    rising = max(1, round(RISING_SHARE * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising))))


def precision(device: torch.device, transformer: bool) -> Precision:
    """Return bf16 where it pays: on a GPU that has it, and for transformers on a CPU with instructions for it."""
    pays = has_native_bf16(device) and (transformer or device.type == "cuda")
    return "bf16-mixed" if pays else "32-true"


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's notices and tips, which are about another way of using it, out of the log."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning(\.|$)")
            warnings.filterwarnings("ignore", message=r".*(isinstance\(treespec, LeafSpec\)|lr_scheduler\.step).*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class Trainer(lightning.Trainer):
    """Lightning's trainer on one device, for a command that a scheduler may stop.

    A training that SIGTERM stops ends with exit code 143, as a stopped process does; Lightning lets it end with 0, as
    if it had finished. Inside a cluster's job it does not take the job for one of its own and requeue it.

    Parameters
    ----------
    device, precision, epochs
        Where and how it computes, and most epochs.
    **options
        Further ones of Lightning's trainer.
    """

    def __init__(self, device: torch.device, precision: Precision, epochs: int, **options: Any) -> None:
        super().__init__(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=1,
            precision=precision,
            max_epochs=epochs,
            plugins=[LightningEnvironment()],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **options,
        )

    def fit(self, *arguments: Any, **options: Any) -> None:
        """Train.

        Raises
        ------
        SystemExit
            With code 143, after SIGTERM.
        """
        try:
            super().fit(*arguments, **options)
        except SIGTERMException as stop:
            print(
                f"stopped by SIGTERM after epoch {self.current_epoch}; the same command goes on from there",
                file=sys.stderr,
                flush=True,
            )
            raise SystemExit(128 + signal.SIGTERM) from stop


def make_trainer(
    state: Path,
    device: torch.device,
    precision: Precision,
    epochs: int,
    patience: int,
    watched: tuple[str, str],
    largest_gradient: float | None,
) -> Trainer:
    """Return a trainer that stops early and keeps its last and its best epoch as `last.ckpt` and `best.ckpt`.

    Parameters
    ----------
    state
        Folder of the checkpoints, of this training alone.
    device, precision, epochs, patience
        Where and how it computes, most epochs, and epochs without a better value after which it stops.
    watched
        Name of the logged value that decides, and `min` or `max`.
    largest_gradient
        Norm to which gradients are clipped; None where the module clips them itself.
    """
    monitor, mode = watched
    every_epoch = partial(ModelCheckpoint, state, save_on_train_epoch_end=True, enable_version_counter=False)
    return Trainer(
        device,
        precision,
        epochs,
        callbacks=[
            EarlyStopping(monitor, patience=patience, mode=mode),
            every_epoch(filename=Path(BEST).stem, monitor=monitor, mode=mode, save_weights_only=True),
            every_epoch(filename=Path(LAST).stem),
        ],
        default_root_dir=state,
        deterministic="warn",
        gradient_clip_val=largest_gradient,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
    )
