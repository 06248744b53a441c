"""What the diffusion model learns from: crops of training lesions, a random time and noise for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mammoflow.config.lesion_diffusion import LesionDiffusionSettings
from mammoflow.segmentation.automatic.lesion_crops import LesionCrops
from mammoflow.segmentation.diffusion.network import LesionUNet
from mammoflow.segmentation.diffusion.process import TIMES, noised, target
from mammoflow.segmentation.protocol.lesion_generator import UNKNOWN
from mammoflow.training.batching import Rows, cut_batches, epoch_batches
from mammoflow.training.learner import Learner

FIXED_SEED = 7
"""Seed of times and noise of validation, which are the same in every epoch."""

TURNS = 4
"""Quarter turns."""


@dataclass(frozen=True)
class CropBatch:
    """Crops with what is known of them.

    Attributes
    ----------
    levels, masks
        (N, 1, rows, columns).
    classes
        (N,).
    """

    levels: Tensor
    masks: Tensor
    classes: Tensor

    def __len__(self) -> int:
        return len(self.levels)


class DiffusionLearner(Learner):
    """The training of a diffusion model; the last epoch is kept.

    Parameters
    ----------
    network
        Predicts v.
    training, validation
        Crops of the training and of the validation patients. No choice depends on validation.
    settings
        Options of the recipe.
    device
        Where the network is trained.
    """

    network: LesionUNet
    items = "crops"

    def __init__(
        self,
        network: LesionUNet,
        training: LesionCrops,
        validation: LesionCrops,
        settings: LesionDiffusionSettings,
        device: torch.device,
    ) -> None:
        self.network, self.training, self.validation = network, training, validation
        self.settings, self.device = settings, device
        self.rows = np.arange(len(training))

    def batches(self, epoch: int) -> Iterator[CropBatch]:
        """Yield crops with random reflections and quarter turns, in an order that seed and epoch decide."""
        generator = np.random.default_rng((self.settings.seed, epoch))
        for rows in self._cut(generator):
            turns, flips = generator.integers(TURNS, size=len(rows)), generator.random(len(rows)) < 0.5
            hidden = generator.random(len(rows)) < self.settings.unknown_share
            pairs = np.stack([self.training.levels[rows], self.training.masks[rows]], axis=1)
            for place in range(len(rows)):
                turned = np.rot90(pairs[place], int(turns[place]), axes=(1, 2))
                pairs[place] = np.flip(turned, 2) if flips[place] else turned
            batch = torch.from_numpy(pairs)
            classes = np.where(hidden, UNKNOWN, self.training.classes[rows])
            yield CropBatch(batch[:, :1], batch[:, 1:], torch.from_numpy(classes))

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self._cut(None))

    def split(self, batch: CropBatch) -> list[CropBatch]:
        """Return two halves of a batch, or the batch alone where it holds one crop."""
        middle = (len(batch) + 1) // 2
        cuts = [slice(0, middle), slice(middle, None)] if len(batch) > 1 else [slice(None)]
        return [CropBatch(batch.levels[cut], batch.masks[cut], batch.classes[cut]) for cut in cuts]

    def loss(self, batch: CropBatch, epoch: int, step: int) -> Tensor:
        """Return the mean squared error of v at random times."""
        return self.error(batch, torch.randint(TIMES, (len(batch),)), torch.randn(batch.levels.shape))

    def error(self, batch: CropBatch, times: Tensor, noise: Tensor) -> Tensor:
        """Return the mean squared error of v at times (N,) with noise (N, 1, rows, columns)."""
        levels, masks, classes, times, noise = (
            each.to(self.device) for each in (batch.levels, batch.masks, batch.classes, times, noise)
        )
        predicted = self.network(noised(levels, noise, times), times, masks, classes)
        return functional.mse_loss(predicted.float(), target(levels, noise, times))

    def validate(self, epoch: int) -> dict[str, float]:
        """Return the error on the crops of the validation patients, at times and with noise that stay the same."""
        generator = torch.Generator().manual_seed(FIXED_SEED)
        errors, sizes = [], []
        for rows in cut_batches(np.arange(len(self.validation)), self.settings.batch_size, None):
            levels, masks = (
                torch.from_numpy(each[rows].astype(np.float32))[:, None]
                for each in (self.validation.levels, self.validation.masks)
            )
            batch = CropBatch(levels, masks, torch.from_numpy(self.validation.classes[rows]))
            times = torch.randint(TIMES, (len(batch),), generator=generator)
            errors.append(float(self.error(batch, times, torch.randn(levels.shape, generator=generator))))
            sizes.append(len(batch))
        return {"validation_loss": float(np.average(errors, weights=sizes))} if errors else {}

    def _cut(self, generator: np.random.Generator | None) -> list[Rows]:
        few = self.settings.few_labels
        return epoch_batches(self.rows, self.settings.batch_size, few.epoch_batches, generator)
