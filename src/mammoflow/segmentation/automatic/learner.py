"""What an automatic model learns from: batches of images or patches, cross-entropy and Dice, Dice on validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.config.automatic import AutomaticTrainingSettings
from mammoflow.segmentation.automatic.box_masks import BoxMasks
from mammoflow.segmentation.automatic.parts import Decoder, decoded_by_network, dropped, encoded, known_parts
from mammoflow.segmentation.automatic.samples import TrainingImages
from mammoflow.segmentation.automatic.sampling import ImageBatch, Sampler
from mammoflow.segmentation.automatic.thresholds import best_threshold, dice_by_threshold
from mammoflow.segmentation.automatic.weak_losses import image_loss, known_loss
from mammoflow.segmentation.losses import dice_loss
from mammoflow.segmentation.protocol.automatic import AutomaticModel
from mammoflow.training.batch_norm import recompute_statistics
from mammoflow.training.learner import Change, Learner, Watched

DICE = "validation_dice"
THRESHOLD = "validation_threshold"

STATISTICS_BATCHES = 8
"""Training batches whose statistics batch normalisation uses in evaluation mode."""


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
        self.sampler = Sampler(model, images, settings, boxes)
        self.validation_rows = images.with_lesions("validation")
        self._recent: list[Tensor] = []

    def batches(self, epoch: int) -> Iterator[ImageBatch]:
        """Yield images, or patches of them, in an order and with changes that seed and epoch decide."""
        self._recent = []
        for batch in self.sampler.batches(epoch):
            if len(self._recent) < STATISTICS_BATCHES:
                self._recent.append(batch.inputs)
            yield batch

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return self.sampler.steps()

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

    def _logits(self, inputs: Tensor) -> Tensor:
        """Return logits (N, 1, rows, columns) in fp32 in the pixels of the inputs (N, channels, rows, columns)."""
        inputs = inputs.to(self.model.device)
        return self._in_pixels(self.model.logits(inputs), inputs)

    def _in_pixels(self, logits: Tensor, inputs: Tensor) -> Tensor:
        """Bring logits to the pixels of the inputs, in fp32."""
        return self.model.upscale(logits.float(), (int(inputs.shape[-2]), int(inputs.shape[-1])))
