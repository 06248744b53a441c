"""Tuning of a promptable model as a learner, and what is kept of it: the best epoch, or the weights at the start."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mammoflow.config.tuning import TuneSettings, TuningMethod
from mammoflow.run.runtime import progress
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.tuning.decoding import Decoding
from mammoflow.segmentation.tuning.lesions import TuningLesions
from mammoflow.segmentation.tuning.methods import Prepared, changing_state, prepare, set_mode
from mammoflow.training.batching import Rows, cut_batches, halve
from mammoflow.training.learner import Learner, Watched
from mammoflow.training.loop import Fit
from mammoflow.training.plan import Plan


class TuneLearner(Learner):
    """What a method trains of a promptable model, the lesions of the training side, and SAM's loss.

    A batch is a set of rows of the lesion table.

    Parameters
    ----------
    prepared
        The model and what is trained of it.
    decoding
        Lesions, prompts, embeddings, loss.
    settings
        Batch size, kinds of prompts, seed.
    margin_mm
        Margin of the box at which the validation lesions are decoded.
    """

    watched = Watched("validation_dice", "max")
    items = "lesions"

    def __init__(self, prepared: Prepared, decoding: Decoding, settings: TuneSettings, margin_mm: float) -> None:
        self.network = prepared.model.network
        self.prepared, self.decoding, self.settings, self.margin_mm = prepared, decoding, settings, margin_mm
        self.rows = {split: decoding.data.rows(split) for split in ("train", "validation")}

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Return what the method trains, each part with the rate of the settings."""
        return self.prepared.groups

    def batches(self, epoch: int) -> list[Rows]:
        """Return the training lesions of an epoch, shuffled."""
        generator = np.random.default_rng([self.settings.seed, epoch])
        return cut_batches(self.rows["train"], self.settings.batch_size, generator)

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return len(cut_batches(self.rows["train"], self.settings.batch_size, None))

    def loss(self, batch: Rows, epoch: int, step: int) -> Tensor:
        """Return the loss of some lesions, all with prompts of one kind."""
        kinds = self.settings.kinds
        kind = kinds[int(np.random.default_rng([self.settings.seed, epoch, step]).integers(len(kinds)))]
        with self.prepared.recomputed():
            return self.decoding.loss(batch, epoch, kind)

    def split(self, batch: Rows) -> list[Rows]:
        """Return two halves of some lesions."""
        return halve(batch)

    def validate(self, epoch: int) -> dict[str, float]:
        """Return the mean Dice of the validation lesions."""
        return {"validation_dice": self.dice()}

    def dice(self, label: str | None = None) -> float:
        """Return the mean Dice of the validation lesions, with progress lines where they have a label."""
        batches = cut_batches(self.rows["validation"], self.settings.batch_size, None)
        shown = progress(batches, label) if label else batches
        return float(np.mean(np.concatenate([self.decoding.dice(batch, self.margin_mm) for batch in shown])))

    def mode(self, training: bool) -> None:
        """Put what is trained into training mode; batch normalisation stays in evaluation mode."""
        set_mode(self.prepared, training)

    def state(self) -> dict[str, Tensor]:
        """Return what changes: frozen weights come from the model's own file."""
        return changing_state(self.network)

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` returned."""
        self.network.load_state_dict(state, strict=False)


def make_learner(
    settings: TuneSettings,
    method: TuningMethod,
    model: PromptableModel,
    data: TuningLesions,
    store: Path,
    margin_mm: float,
) -> TuneLearner:
    """Prepare a model for a method and return its learner.

    Parameters
    ----------
    settings
        Rates, prompts, loss, seed.
    method
        What is trained.
    model
        The model to start from, on its device.
    data
        Lesions to tune on and to stop by.
    store
        Folder of the embeddings, which tuning of the decoder alone reads and fills.
    margin_mm
        Margin of the box at which the validation lesions are decoded.

    Raises
    ------
    ConfigError
        If the method does not fit the model.
    """
    prepared = prepare(model, method, settings)
    decoding = Decoding(model, data, prepared.embeddings(data.images, store), settings)
    return TuneLearner(prepared, decoding, settings, margin_mm)


def make_plan(settings: TuneSettings, device: torch.device) -> Plan:
    """Return the plan of a tuning; the rates of the parts come from the learner's groups."""
    plan = Plan.of(settings, device, transformer=True)
    return plan if settings.mixed_precision else replace(plan, precision="32-true")


@dataclass(frozen=True)
class StartingPoint:
    """A model before it is tuned.

    Attributes
    ----------
    dice
        Mean Dice of the validation lesions.
    state
        The weights that tuning changes, on the CPU.
    """

    dice: float
    state: dict[str, Tensor]


def starting_point(learner: TuneLearner, plan: Plan) -> StartingPoint:
    """Validate the weights at the start and keep a copy of them."""
    learner.mode(training=False)
    with torch.no_grad(), torch.autocast(plan.device.type, torch.bfloat16, enabled=plan.precision == "bf16-mixed"):
        dice = learner.dice("validation before tuning, batches")
    return StartingPoint(dice, {name: tensor.detach().cpu().clone() for name, tensor in learner.state().items()})


def keep_better(learner: TuneLearner, start: StartingPoint, fitted: Fit) -> tuple[int, float]:
    """Keep the weights of the best epoch, or load those at the start where no epoch is better.

    Returns
    -------
    chosen_epoch, dice
        The epoch that is kept, 0 for the start, and its validation Dice.
    """
    best = fitted.history[fitted.chosen_epoch - 1]["validation_dice"]
    if math.isfinite(best) and best > start.dice:
        return fitted.chosen_epoch, best
    learner.load_state(start.state)
    return 0, start.dice
