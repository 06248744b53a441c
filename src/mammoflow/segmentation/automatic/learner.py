"""What an automatic model learns from: batches of images or patches, cross-entropy and Dice, Dice on validation."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mammoflow.config.automatic import AutomaticTrainingSettings
from mammoflow.segmentation.automatic.augmentation import augment, cut_patch
from mammoflow.segmentation.automatic.samples import TrainingImages
from mammoflow.segmentation.automatic.thresholds import best_threshold, dice_by_threshold
from mammoflow.segmentation.losses import dice_loss
from mammoflow.segmentation.protocol.automatic import AutomaticModel
from mammoflow.training.batch_norm import recompute_statistics
from mammoflow.training.batching import cut_batches
from mammoflow.training.learner import Learner, Watched

DICE = "validation_dice"
THRESHOLD = "validation_threshold"

STATISTICS_BATCHES = 8
"""Training batches whose statistics batch normalisation uses in evaluation mode."""


@dataclass(frozen=True)
class ImageBatch:
    """Images or patches.

    Attributes
    ----------
    inputs
        (N, channels, rows, columns).
    targets
        (N, 1, rows, columns), 0 or 1.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def halves(self) -> list[ImageBatch]:
        """Return two halves, or the batch alone where it holds one sample."""
        middle = (len(self) + 1) // 2
        cuts = [slice(0, middle), slice(middle, None)] if len(self) > 1 else [slice(None)]
        return [ImageBatch(self.inputs[cut], self.targets[cut]) for cut in cuts]


class AutomaticLearner(Learner):
    """The training of an automatic model.

    The epoch with the largest Dice on the validation images with a lesion is kept. Each epoch takes the threshold at
    which that Dice is largest; it is in the history as `validation_threshold`.

    Parameters
    ----------
    model
        Any automatic model, with its `NetworkInput`.
    images
        Training and validation images.
    settings
        Options of the recipe.
    """

    watched = Watched(DICE, "max")
    items = "images"

    def __init__(self, model: AutomaticModel, images: TrainingImages, settings: AutomaticTrainingSettings) -> None:
        self.model, self.network = model, model.network
        self.images, self.settings = images, settings
        self.train_rows = images.rows("train")
        self.validation_rows = images.with_lesions("validation")
        self.readers = ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="read")
        self._recent: list[Tensor] = []

    def batches(self, epoch: int) -> Iterator[ImageBatch]:
        """Yield images, or patches of them, in an order and with changes that seed and epoch decide."""
        generator = np.random.default_rng((self.settings.seed, epoch))
        self._recent = []
        for number, rows in enumerate(cut_batches(self._samples(), self.settings.batch_size, generator)):
            seeds = [(self.settings.seed, epoch, number, place) for place in range(len(rows))]
            samples = list(self.readers.map(self._sample, rows, seeds))
            inputs, targets = (torch.stack(tensors) for tensors in zip(*samples, strict=True))
            if len(self._recent) < STATISTICS_BATCHES:
                self._recent.append(inputs)
            yield ImageBatch(inputs, targets)

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return len(cut_batches(self._samples(), self.settings.batch_size, None))

    def size(self, batch: ImageBatch) -> int:
        """Return the number of images or patches in a batch."""
        return len(batch)

    def split(self, batch: ImageBatch) -> list[ImageBatch]:
        """Return two halves of a batch."""
        return batch.halves()

    def outputs(self, batch: ImageBatch) -> Tensor:
        """Return the logits (N, 1, rows, columns) of a batch in the pixels of its inputs."""
        return self._logits(batch.inputs)

    def loss(self, batch: ImageBatch, epoch: int, step: int) -> Tensor:
        """Return the mean loss of a batch."""
        logits, targets = self.outputs(batch), batch.targets.to(self.model.device)
        loss = functional.binary_cross_entropy_with_logits(logits, targets)
        return loss + dice_loss(logits, targets).mean() if self.settings.loss == "dice_bce" else loss

    def validate(self, epoch: int) -> dict[str, float]:
        """Return cross-entropy and Dice on the validation images with a lesion, and the threshold of that Dice."""
        recompute_statistics(self.network, [partial(self._logits, inputs) for inputs in self._recent])
        losses, dice = [], []
        for row in self.validation_rows:
            grey, lesions = self.images.read(int(row), self.model.input)
            rows, columns = self.model.input.shape(self.images.size(int(row)), self.images.spacing_mm(int(row)))
            logits = self._logits(self.model.preprocess(grey)[None])[0, 0, :rows, :columns]
            target = torch.from_numpy(lesions[:rows, :columns].astype(np.float32)).to(logits.device)
            losses.append(float(functional.binary_cross_entropy_with_logits(logits, target)))
            dice.append(dice_by_threshold(logits.sigmoid().cpu().numpy(), lesions[:rows, :columns]))
        threshold, mean = best_threshold(np.stack(dice))
        return {"validation_loss": float(np.mean(losses)), DICE: mean, THRESHOLD: threshold}

    def _samples(self) -> np.ndarray:
        """Return the rows of the samples of an epoch; the row of an image comes once for each of its patches."""
        return np.repeat(self.train_rows, self.settings.patches if self.settings.input == "patch" else 1)

    def _sample(self, row: int, seed: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Read an image, change it at random and cut a patch where patches are trained on."""
        generator = np.random.default_rng(seed)
        grey, lesions = self.images.read(int(row), self.model.input)
        channels = self.model.preprocess(grey).numpy()
        if self.settings.augmentation == "standard":
            channels, lesions = augment(channels, lesions, generator)
        if self.settings.input == "patch":
            on_lesion = bool(generator.random() < self.settings.lesion_share)
            channels, lesions = cut_patch(channels, lesions, self.settings.side_px, on_lesion, generator)
        target = torch.from_numpy(lesions[None].astype(np.float32))
        return torch.from_numpy(np.ascontiguousarray(channels)), target

    def _logits(self, inputs: Tensor) -> Tensor:
        """Return logits (N, 1, rows, columns) in fp32 in the pixels of the inputs (N, channels, rows, columns)."""
        logits = self.model.logits(inputs.to(self.model.device)).float()
        return self.model.upscale(logits, (int(inputs.shape[-2]), int(inputs.shape[-1])))
