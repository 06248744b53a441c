"""What an automatic model learns from: batches of images or patches, cross-entropy and Dice, Dice on validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.config.augmentation import augmentation_names
from mammoflow.config.automatic import AutomaticTrainingSettings
from mammoflow.imaging.geometry import Mask
from mammoflow.segmentation.automatic.augmentation import Channels, augment, cut_patch
from mammoflow.segmentation.automatic.box_masks import BoxMasks
from mammoflow.segmentation.automatic.copy_paste import paste_lesion
from mammoflow.segmentation.automatic.parts import Decoder, decoded_by_network, dropped, encoded, known_parts
from mammoflow.segmentation.automatic.samples import TrainingImages
from mammoflow.segmentation.automatic.targets import Targets
from mammoflow.segmentation.automatic.thresholds import best_threshold, dice_by_threshold
from mammoflow.segmentation.automatic.weak_losses import image_loss, known_loss
from mammoflow.segmentation.losses import dice_loss
from mammoflow.segmentation.protocol.automatic import AutomaticModel
from mammoflow.training.batch_norm import recompute_statistics
from mammoflow.training.batching import Rows, cut_batches, epoch_batches
from mammoflow.training.learner import Change, Learner, Watched
from mammoflow.training.views import Mix

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
    known
        (N, 1, rows, columns) bool: pixels that have a loss; None where all have.
    """

    inputs: Tensor
    targets: Tensor
    known: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def halves(self) -> list[ImageBatch]:
        """Return two halves, or the batch alone where it holds one sample."""
        middle = (len(self) + 1) // 2
        cuts = [slice(0, middle), slice(middle, None)] if len(self) > 1 else [slice(None)]
        return [
            ImageBatch(self.inputs[cut], self.targets[cut], None if self.known is None else self.known[cut])
            for cut in cuts
        ]

    def mixed(self, mix: Mix) -> ImageBatch:
        """Return the batch with rectangles of other images."""
        return ImageBatch(mix(self.inputs), mix(self.targets), None if self.known is None else mix(self.known))


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
    boxes
        Masks that a teacher made of boxes, where the labels are boxes.
    """

    watched = Watched(DICE, "max")
    items = "images"

    def __init__(
        self,
        model: AutomaticModel,
        images: TrainingImages,
        settings: AutomaticTrainingSettings,
        boxes: BoxMasks | None = None,
    ) -> None:
        self.model, self.network = model, model.network
        self.images, self.settings = images, settings
        self.targets = Targets(images, settings.labels, boxes)
        self.names = augmentation_names(settings.augmentation)
        self.train_rows = images.training_rows(settings.labels.partly_annotated)
        self.validation_rows = images.with_lesions("validation")
        self.readers = ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="read")
        self._recent: list[Tensor] = []

    def batches(self, epoch: int) -> Iterator[ImageBatch]:
        """Yield images, or patches of them, in an order and with changes that seed and epoch decide."""
        generator = np.random.default_rng((self.settings.seed, epoch))
        self._recent = []
        for number, rows in enumerate(self._cut(generator)):
            seeds = [(self.settings.seed, epoch, number, place) for place in range(len(rows))]
            batch = self._joined(list(self.readers.map(self._sample, rows, seeds)))
            if "cutmix" in self.names and number % 2:
                own = torch.Generator().manual_seed(int(generator.integers(2**31)))
                batch = batch.mixed(Mix.drawn(batch.targets, own))
            if len(self._recent) < STATISTICS_BATCHES:
                self._recent.append(batch.inputs)
            yield batch

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self._cut(None))

    def unlabelled_batches(self, epoch: int) -> Iterator[ImageBatch]:
        """Yield training images whose labels are not used; their targets are 0 and mean nothing."""
        size = self.settings.few_labels.unlabelled_batch_size or self.settings.batch_size
        generator = np.random.default_rng((self.settings.seed, epoch, 1))
        for number, rows in enumerate(cut_batches(self._repeated(self.images.unlabelled()), size, generator)):
            seeds = [(self.settings.seed, epoch, number, place, 1) for place in range(len(rows))]
            yield self._joined(list(self.readers.map(self._unlabelled_sample, rows, seeds)))

    def size(self, batch: ImageBatch) -> int:
        """Return the number of images or patches in a batch."""
        return len(batch)

    def split(self, batch: ImageBatch) -> list[ImageBatch]:
        """Return two halves of a batch."""
        return batch.halves()

    def outputs(self, batch: ImageBatch, change: Change | None = None, drop: float = 0.0) -> Tensor:
        """Return the logits (N, 1, rows, columns) of a batch in the pixels of its inputs."""
        inputs = batch.inputs.to(self.model.device)
        inputs = inputs if change is None else change(inputs)
        if not drop:
            return self._logits(inputs)
        network = known_parts(self.network, "dropping features")
        return self._in_pixels(decoded_by_network(network, dropped(encoded(network, inputs), drop)), inputs)

    def further_decoders(self, upsampling: Sequence[str]) -> nn.ModuleList:
        """Return decoders for the features of the network's encoder."""
        network = known_parts(self.network, "mutual_consistency")
        return nn.ModuleList(Decoder(network, each) for each in upsampling).to(self.model.device)

    def decoded(self, batch: ImageBatch, decoders: nn.ModuleList) -> list[Tensor]:
        """Return the logits of the network's own decoder and of further ones, in the pixels of the inputs."""
        network = known_parts(self.network, "mutual_consistency")
        inputs = batch.inputs.to(self.model.device)
        stages = encoded(network, inputs)
        logits = [decoded_by_network(network, stages), *(decoder(stages) for decoder in decoders)]
        return [self._in_pixels(each, inputs) for each in logits]

    def loss(self, batch: ImageBatch, epoch: int, step: int) -> Tensor:
        """Return the mean loss of a batch."""
        return self.loss_of(self.outputs(batch), batch)

    def loss_of(self, outputs: Tensor, batch: ImageBatch) -> Tensor:
        """Return the mean loss of logits (N, 1, rows, columns)."""
        targets = batch.targets.to(outputs.device)
        labels = self.settings.labels
        if labels.kind == "image":
            return image_loss(outputs, targets, labels.top_share, labels.sparsity)
        if batch.known is not None:
            return known_loss(outputs, targets, batch.known.to(outputs.device), self.settings.loss == "dice_bce")
        loss = functional.binary_cross_entropy_with_logits(outputs, targets)
        return loss + dice_loss(outputs, targets).mean() if self.settings.loss == "dice_bce" else loss

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

    def _cut(self, generator: np.random.Generator | None) -> list[Rows]:
        """Cut the samples of an epoch into batches."""
        rows, few = self._repeated(self.train_rows), self.settings.few_labels
        return epoch_batches(rows, self.settings.batch_size, few.epoch_batches, generator)

    def _repeated(self, rows: Rows) -> Rows:
        """Return rows of samples; the row of an image comes once for each of its patches."""
        return np.repeat(rows, self.settings.patches if self.settings.input == "patch" else 1)

    def _sample(self, row: int, seed: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Read an image, change it at random and cut a patch where patches are trained on."""
        generator = np.random.default_rng(seed)
        channels = self.model.preprocess(self.images.read_grey(int(row), self.model.input)).numpy()
        target = self.targets.of(int(row), self.model.input)
        lesions = target.lesions
        if self.settings.copy_paste and generator.random() < self.settings.copy_paste:
            channels, lesions = self._with_pasted(int(row), channels, lesions, generator)
        masks = [lesions] if target.unknown is None else [lesions, target.unknown]
        channels, masks = self._changed(channels, masks, generator)
        known = None if target.unknown is None else torch.from_numpy(~masks[1][None])
        return (
            torch.from_numpy(np.ascontiguousarray(channels)),
            torch.from_numpy(masks[0][None].astype(np.float32)),
            known,
        )

    def _unlabelled_sample(self, row: int, seed: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Read an image without its reference, changed like a labelled one."""
        generator = np.random.default_rng(seed)
        channels = self.model.preprocess(self.images.read_grey(int(row), self.model.input)).numpy()
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
        """Blend a lesion of another labelled training image into an image."""
        sources = self.images.with_lesions("train")
        sources = sources[sources != row]
        if not len(sources):
            return channels, lesions
        source = int(generator.choice(sources))
        grey = self.images.read_grey(source, self.model.input)
        target = self.targets.of(source, self.model.input)
        return paste_lesion(channels, lesions, self.model.preprocess(grey).numpy(), target.lesions, generator)

    def _joined(self, samples: Sequence[tuple[Tensor, Tensor, Tensor | None]]) -> ImageBatch:
        """Join samples to a batch."""
        inputs, targets = (torch.stack([sample[place] for sample in samples]) for place in (0, 1))  # type: ignore[misc]
        if all(sample[2] is None for sample in samples):
            return ImageBatch(inputs, targets)
        known = [torch.ones_like(sample[1], dtype=torch.bool) if sample[2] is None else sample[2] for sample in samples]
        return ImageBatch(inputs, targets, torch.stack(known))

    def _logits(self, inputs: Tensor) -> Tensor:
        """Return logits (N, 1, rows, columns) in fp32 in the pixels of the inputs (N, channels, rows, columns)."""
        inputs = inputs.to(self.model.device)
        return self._in_pixels(self.model.logits(inputs), inputs)

    def _in_pixels(self, logits: Tensor, inputs: Tensor) -> Tensor:
        """Bring logits to the pixels of the inputs, in fp32."""
        return self.model.upscale(logits.float(), (int(inputs.shape[-2]), int(inputs.shape[-1])))
