"""Batches of images or patches, in an order and with random changes that seed and epoch decide."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mammoflow.config.automatic import AutomaticInputSettings
from mammoflow.segmentation.automatic.augmentation import augment, cut_patch, mirror
from mammoflow.segmentation.automatic.samples import TrainingImages
from mammoflow.segmentation.protocol.automatic import AutomaticModel
from mammoflow.training.batching import Rows, cut_batches


@dataclass(frozen=True)
class ImageBatch:
    """Images or patches.

    Attributes
    ----------
    inputs
        (N, channels, rows, columns).
    targets
        (N, 1, rows, columns), 0 or 1.
    rows
        The N images in their table.
    """

    inputs: Tensor
    targets: Tensor
    rows: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def halves(self) -> list[ImageBatch]:
        """Return two halves, or the batch alone where it holds one sample."""
        middle = (len(self) + 1) // 2
        cuts = [slice(0, middle), slice(middle, None)] if len(self) > 1 else [slice(None)]
        return [ImageBatch(self.inputs[cut], self.targets[cut], self.rows[cut]) for cut in cuts]


class Sampler:
    """The training samples of an automatic model.

    Parameters
    ----------
    model
        Any automatic model, with its `NetworkInput`.
    images
        Images of the training side.
    settings
        What the model sees of an image, size of a batch, seed.
    """

    def __init__(self, model: AutomaticModel, images: TrainingImages, settings: AutomaticInputSettings) -> None:
        self.model, self.images, self.settings = model, images, settings
        self.rows = images.rows("train")
        self.readers = ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="read")

    def batches(self, epoch: int) -> Iterator[ImageBatch]:
        """Yield the batches of an epoch."""
        generator = np.random.default_rng((self.settings.seed, epoch))
        for number, rows in enumerate(cut_batches(self._samples(), self.settings.batch_size, generator)):
            seeds = [(self.settings.seed, epoch, number, place) for place in range(len(rows))]
            samples = list(self.readers.map(self._sample, rows, seeds))
            inputs, targets = (torch.stack(tensors) for tensors in zip(*samples, strict=True))
            yield ImageBatch(inputs, targets, tuple(rows.tolist()))

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return len(cut_batches(self._samples(), self.settings.batch_size, None))

    def unchanged(self, row: int) -> Tensor:
        """Return an image as the network sees it (channels, rows, columns); with patches, one of fixed place."""
        grey, lesions = self.images.read(row, self.model.input)
        channels = self.model.preprocess(grey).numpy()
        if self.settings.input == "patch":
            channels, _ = cut_patch(channels, lesions, self.settings.side_px, False, np.random.default_rng(row))
        return torch.from_numpy(np.ascontiguousarray(channels))

    def _samples(self) -> Rows:
        """Return the rows of the samples of an epoch; the row of an image comes once for each of its patches."""
        return np.repeat(self.rows, self.settings.patches if self.settings.input == "patch" else 1)

    def _sample(self, row: int, seed: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Read an image, change it at random and cut a patch where patches are trained on."""
        generator = np.random.default_rng(seed)
        grey, lesions = self.images.read(int(row), self.model.input)
        channels = self.model.preprocess(grey).numpy()
        if self.settings.augmentation != "none":
            change = augment if self.settings.augmentation == "standard" else mirror
            channels, lesions = change(channels, lesions, generator)
        if self.settings.input == "patch":
            on_lesion = bool(generator.random() < self.settings.lesion_share)
            channels, lesions = cut_patch(channels, lesions, self.settings.side_px, on_lesion, generator)
        target = torch.from_numpy(lesions[None].astype(np.float32))
        return torch.from_numpy(np.ascontiguousarray(channels)), target
