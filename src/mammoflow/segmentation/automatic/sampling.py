"""Batches of images or patches, in an order and with random changes that seed and epoch decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mammoflow.config.augmentation import augmentation_names
from mammoflow.config.automatic import AutomaticInputSettings, AutomaticTrainingSettings
from mammoflow.imaging.geometry import Mask
from mammoflow.segmentation.automatic.augmentation import Channels, augment, cut_patch
from mammoflow.segmentation.automatic.box_masks import BoxMasks
from mammoflow.segmentation.automatic.copy_paste import paste_lesion, paste_levels
from mammoflow.segmentation.automatic.samples import TrainingImages
from mammoflow.segmentation.automatic.synthetic_lesions import SyntheticLesions
from mammoflow.segmentation.automatic.targets import Targets
from mammoflow.segmentation.protocol.automatic import AutomaticModel
from mammoflow.training.batching import Rows, cut_batches, epoch_batches
from mammoflow.training.views import Mix

Sample = tuple[Tensor, Tensor, Tensor | None]
"""Inputs, targets, and which pixels are known (None: all) of one image."""


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
        The N images in their table; empty where images are mixed.
    known
        (N, 1, rows, columns) bool: pixels that have a loss; None where all have.
    """

    inputs: Tensor
    targets: Tensor
    rows: tuple[int, ...] = ()
    known: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def halves(self) -> list[ImageBatch]:
        """Return two halves, or the batch alone where it holds one sample."""
        middle = (len(self) + 1) // 2
        cuts = [slice(0, middle), slice(middle, None)] if len(self) > 1 else [slice(None)]
        return [
            ImageBatch(
                self.inputs[cut], self.targets[cut], self.rows[cut], None if self.known is None else self.known[cut]
            )
            for cut in cuts
        ]

    def mixed(self, mix: Mix) -> ImageBatch:
        """Return the batch with rectangles of other images."""
        return ImageBatch(mix(self.inputs), mix(self.targets), (), None if self.known is None else mix(self.known))


class Sampler:
    """The training samples of an automatic model.

    Parameters
    ----------
    model
        Any automatic model, with its `NetworkInput`.
    images
        Images of the training side.
    settings
        What the model sees of an image, what its labels are, size of a batch, seed.
    boxes
        Masks that a teacher made of boxes, where the labels are boxes.
    synthetic
        Synthetic lesions that are blended in place of copies; None without.
    """

    def __init__(
        self,
        model: AutomaticModel,
        images: TrainingImages,
        settings: AutomaticInputSettings,
        boxes: BoxMasks | None = None,
        synthetic: SyntheticLesions | None = None,
    ) -> None:
        self.model, self.images, self.settings, self.synthetic = model, images, settings, synthetic
        # a training without labels has no settings of them
        self.labels = settings if isinstance(settings, AutomaticTrainingSettings) else AutomaticTrainingSettings()
        self.targets = Targets(images, self.labels.labels, boxes)
        self.names = augmentation_names(settings.augmentation)
        partly = self.labels.labels.partly_annotated
        self.rows, self.unlabelled_rows = images.training_rows(partly), images.unlabelled(partly)
        self.readers = ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="read")

    def batches(self, epoch: int) -> Iterator[ImageBatch]:
        """Yield the labelled batches of an epoch."""
        generator = np.random.default_rng((self.settings.seed, epoch))
        for number, rows in enumerate(self._cut(generator)):
            seeds = [(self.settings.seed, epoch, number, place) for place in range(len(rows))]
            batch = _joined(rows, list(self.readers.map(self._sample, rows, seeds)))
            if "cutmix" in self.names and number % 2:
                own = torch.Generator().manual_seed(int(generator.integers(2**31)))
                batch = batch.mixed(Mix.drawn(batch.targets, own))
            yield batch

    def steps(self) -> int:
        """Return the number of labelled batches in an epoch."""
        return len(self._cut(None))

    def unlabelled_batches(self, epoch: int) -> Iterator[ImageBatch]:
        """Yield training images whose labels are not used; their targets are 0 and mean nothing."""
        size = self.labels.few_labels.unlabelled_batch_size or self.settings.batch_size
        generator = np.random.default_rng((self.settings.seed, epoch, 1))
        for number, rows in enumerate(cut_batches(self._repeated(self.unlabelled_rows), size, generator)):
            seeds = [(self.settings.seed, epoch, number, place, 1) for place in range(len(rows))]
            yield _joined(rows, list(self.readers.map(self._unlabelled_sample, rows, seeds)))

    def unchanged(self, row: int) -> Tensor:
        """Return an image as the network sees it (channels, rows, columns); with patches, one of fixed place."""
        picture, lesions = self.images.read(row, self.model.input)
        channels = self.model.preprocess(picture).numpy()
        if self.settings.input == "patch":
            channels, _ = cut_patch(channels, [lesions], self.settings.side_px, False, np.random.default_rng(row))
        return torch.from_numpy(np.ascontiguousarray(channels))

    def _cut(self, generator: np.random.Generator | None) -> list[Rows]:
        """Cut the samples of an epoch into batches."""
        rows, few = self._repeated(self.rows), self.labels.few_labels
        return epoch_batches(rows, self.settings.batch_size, few.epoch_batches, generator)

    def _repeated(self, rows: Rows) -> Rows:
        """Return rows of samples; the row of an image comes once for each of its patches."""
        return np.repeat(rows, self.settings.patches if self.settings.input == "patch" else 1)

    def _sample(self, row: int, seed: tuple[int, ...]) -> Sample:
        """Read an image, change it at random and cut a patch where patches are trained on."""
        generator = np.random.default_rng(seed)
        channels = self.model.preprocess(self.images.read_picture(int(row), self.model.input)).numpy()
        target = self.targets.of(int(row), self.model.input)
        lesions = target.lesions
        if self.labels.copy_paste and generator.random() < self.labels.copy_paste:
            channels, lesions = self._with_pasted(int(row), channels, lesions, generator)
        masks = [lesions] if target.unknown is None else [lesions, target.unknown]
        channels, masks = self._changed(channels, masks, generator)
        known = None if target.unknown is None else torch.from_numpy(~masks[1][None])
        return (
            torch.from_numpy(np.ascontiguousarray(channels)),
            torch.from_numpy(masks[0][None].astype(np.float32)),
            known,
        )

    def _unlabelled_sample(self, row: int, seed: tuple[int, ...]) -> Sample:
        """Read an image without its reference, changed like a labelled one."""
        generator = np.random.default_rng(seed)
        channels = self.model.preprocess(self.images.read_picture(int(row), self.model.input)).numpy()
        nothing = np.zeros((channels.shape[1], channels.shape[2]), dtype=np.bool_)
        channels, masks = self._changed(channels, [nothing], generator)
        return (
            torch.from_numpy(np.ascontiguousarray(channels)),
            torch.from_numpy(masks[0][None].astype(np.float32)),
            None,
        )

    def _changed(
        self, channels: Channels, masks: list[Mask], generator: np.random.Generator
    ) -> tuple[Channels, list[Mask]]:
        """Change an image and its masks, and cut a patch where patches are trained on."""
        if self.names:
            channels, masks = augment(channels, masks, generator, self.names)
        if self.settings.input == "patch":
            on_lesion = bool(generator.random() < self.settings.lesion_share)
            channels, masks = cut_patch(channels, masks, self.settings.side_px, on_lesion, generator)
        return channels, masks

    def _with_pasted(
        self, row: int, channels: Channels, lesions: Mask, generator: np.random.Generator
    ) -> tuple[Channels, Mask]:
        """Blend a lesion of another labelled training image, or a synthetic one, into an image."""
        if self.synthetic is not None:
            size, spacing = self.images.size(row), self.images.spacing_mm(row)
            shape = self.model.input.shape(size, spacing)
            pixel_mm = (spacing[0] * size[0] / shape[0], spacing[1] * size[1] / shape[1])
            chosen = self.synthetic.on_grid(int(generator.integers(len(self.synthetic))), pixel_mm)
            return paste_levels(channels, lesions, *chosen, generator)
        sources = self.images.with_lesions("train")
        sources = sources[sources != row]
        if not len(sources):
            return channels, lesions
        source = int(generator.choice(sources))
        picture = self.images.read_picture(source, self.model.input)
        target = self.targets.of(source, self.model.input)
        return paste_lesion(channels, lesions, self.model.preprocess(picture).numpy(), target.lesions, generator)


def _joined(rows: Rows, samples: Sequence[Sample]) -> ImageBatch:
    """Join samples of images to a batch."""
    inputs, targets = torch.stack([sample[0] for sample in samples]), torch.stack([sample[1] for sample in samples])
    names = tuple(rows.tolist())
    if all(known is None for _, _, known in samples):
        return ImageBatch(inputs, targets, names)
    everywhere = torch.ones_like(targets[0], dtype=torch.bool)
    known = torch.stack([everywhere if each is None else each for _, _, each in samples])
    return ImageBatch(inputs, targets, names, known)
