"""What an automatic model learns from: batches of images or patches, a loss by name, Dice on validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.config.automatic import AutomaticTrainingSettings
from mammoflow.config.mask_losses import MASK_LOSSES
from mammoflow.segmentation.automatic.box_masks import BoxMasks
from mammoflow.segmentation.automatic.encoder import encoder_of
from mammoflow.segmentation.automatic.frozen_maps import FrozenMaps
from mammoflow.segmentation.automatic.parts import Decoder, decoded_by_network, dropped, encoded, known_parts
from mammoflow.segmentation.automatic.samples import TrainingImages
from mammoflow.segmentation.automatic.sampling import ImageBatch, Sampler
from mammoflow.segmentation.automatic.synthetic_lesions import SyntheticLesions
from mammoflow.segmentation.automatic.thresholds import best_threshold, dice_by_threshold
from mammoflow.segmentation.automatic.weak_losses import image_loss, known_loss
from mammoflow.segmentation.networks.encoder_decoder import EncoderDecoder
from mammoflow.segmentation.protocol.automatic import AutomaticModel
from mammoflow.training.batch_norm import recompute_statistics
from mammoflow.training.learner import Change, Learner, Watched

DICE = "validation_dice"
OBJECTIVE = "validation_objective"
THRESHOLD = "validation_threshold"

STATISTICS_BATCHES = 8
"""Training batches whose statistics batch normalisation uses in evaluation mode."""


class AutomaticLearner(Learner):
    """The training of an automatic model.

    The epoch with the largest Dice on the validation images with a lesion is kept, unless the options keep the last
    one. Each epoch takes the threshold at which that Dice is largest, unless the options set it; it is in the history
    as `validation_threshold`.

    Parameters
    ----------
    model
        Any automatic model, with its `NetworkInput`.
    images
        Training and validation images.
    settings
        Options of the recipe.
    frozen
        Names of the tensors of an encoder that is not trained. They are not saved with the state of the training, and
        the encoder stays in evaluation mode.
    boxes
        Masks that a teacher made of boxes, where the labels are boxes.
    synthetic
        Synthetic lesions that are blended into images in place of copies; None without.
    """

    items = "images"

    def __init__(
        self,
        model: AutomaticModel,
        images: TrainingImages,
        settings: AutomaticTrainingSettings,
        frozen: Sequence[str] = (),
        boxes: BoxMasks | None = None,
        synthetic: SyntheticLesions | None = None,
    ) -> None:
        self.model, self.network = model, model.network
        self.images, self.settings, self.frozen = images, settings, frozenset(frozen)
        self.watched = Watched(DICE, "max") if settings.keep == "best" else None
        self.mask_loss = MASK_LOSSES.load(settings.loss).loss
        self.encoder = encoder_of(model.network)
        self.maps = self._frozen_maps()
        self.sampler = Sampler(model, images, settings, boxes, synthetic)
        self.validation_rows = images.with_lesions("validation")
        self._recent: list[ImageBatch] = []

    def batches(self, epoch: int) -> Iterator[ImageBatch]:
        """Yield images, or patches of them, in an order and with changes that seed and epoch decide."""
        self._recent = []
        for batch in self.sampler.batches(epoch):
            if len(self._recent) < STATISTICS_BATCHES:
                self._recent.append(batch)
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
        if change is None and not drop:
            return self._enlarged(self._batch_logits(batch), batch.inputs)[-1]
        inputs = batch.inputs.to(self.model.device)
        inputs = inputs if change is None else change(inputs)
        if not drop:
            return self._enlarged(self._training_logits(inputs, ()), inputs)[-1]
        network = known_parts(self.network, "dropping features")
        return self._enlarged([decoded_by_network(network, dropped(encoded(network, inputs), drop))], inputs)[0]

    def further_decoders(self, upsampling: Sequence[str]) -> nn.ModuleList:
        """Return decoders for the features of the network's encoder."""
        network = known_parts(self.network, "mutual_consistency")
        return nn.ModuleList(Decoder(network, each) for each in upsampling).to(self.model.device)

    def decoded(self, batch: ImageBatch, decoders: nn.ModuleList) -> list[Tensor]:
        """Return the logits of the network's own decoder and of further ones, in the pixels of the inputs."""
        network = known_parts(self.network, "mutual_consistency")
        inputs = batch.inputs.to(self.model.device)
        stages = encoded(network, inputs)
        return self._enlarged([decoded_by_network(network, stages), *(each(stages) for each in decoders)], inputs)

    def loss(self, batch: ImageBatch, epoch: int, step: int) -> Tensor:
        """Return the mean loss of a batch, summed over the outputs of a network that has several."""
        outputs = self._enlarged(self._batch_logits(batch), batch.targets)
        return torch.stack([self.loss_of(logits, batch) for logits in outputs]).sum()

    def loss_of(self, outputs: Tensor, batch: ImageBatch) -> Tensor:
        """Return the mean loss of logits (N, 1, rows, columns).

        Where only a part of an image is known, the loss is cross-entropy and Dice over this part.
        """
        targets, labels = batch.targets.to(outputs.device), self.settings.labels
        if labels.kind == "image":
            return image_loss(outputs, targets, labels.top_share, labels.sparsity)
        if batch.known is not None:
            return known_loss(outputs, targets, batch.known.to(outputs.device), self.settings.loss != "bce")
        loss: Tensor = self.mask_loss(outputs, targets, self.settings.loss_options)
        return loss

    def mode(self, training: bool) -> None:
        """Put the network into training or evaluation mode; a frozen encoder stays in evaluation mode."""
        super().mode(training)
        if self.encoder is not None and self.frozen:
            self.encoder.eval()

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Return the trained parameters: those of an encoder at the plan's rate, the others at the decoder's."""
        of_encoder = {id(parameter) for parameter in self.encoder.parameters()} if self.encoder else set()
        trained = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        parts = [
            ([parameter for parameter in trained if id(parameter) in of_encoder], rate),
            (
                [parameter for parameter in trained if id(parameter) not in of_encoder],
                rate * self.settings.decoder_rate,
            ),
        ]
        return [{"params": parameters, "lr": lr} for parameters, lr in parts if parameters]

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that training changes."""
        return {name: tensor for name, tensor in super().state().items() if name not in self.frozen}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Copy what `state` returned into the network."""
        self.network.load_state_dict(state, strict=not self.frozen)

    def validate(self, epoch: int) -> dict[str, float]:
        """Return losses and Dice on the validation images with a lesion, and the threshold of that Dice.

        `validation_loss` is the cross-entropy, whatever the training loss is. `validation_objective` is the training
        loss by its name, on the network's whole grid as in training, but without random changes and with the weights
        at the end of the epoch. Both are means over images.
        """
        trained = self.network.decoder if isinstance(self.network, EncoderDecoder) and self.frozen else self.network
        recompute_statistics(trained, [partial(self._batch_logits, batch) for batch in self._recent])
        losses, objectives, dice = [], [], []
        for row in self.validation_rows:
            picture, lesions = self.images.read(int(row), self.model.input)
            rows, columns = self.model.input.shape(self.images.size(int(row)), self.images.spacing_mm(int(row)))
            inputs = self.model.preprocess(picture)[None].to(self.model.device)
            outputs = self._enlarged(self._training_logits(inputs, (int(row),)), inputs)
            logits, expected = outputs[-1][0, 0, :rows, :columns], lesions[:rows, :columns]
            whole = torch.from_numpy(lesions.astype(np.float32)).to(logits.device)
            losses.append(float(functional.binary_cross_entropy_with_logits(logits, whole[:rows, :columns])))
            options = self.settings.loss_options
            objectives.append(sum(float(self.mask_loss(each, whole[None, None], options)) for each in outputs))
            dice.append(dice_by_threshold(logits.sigmoid().cpu().numpy(), expected))
        threshold, mean = best_threshold(np.stack(dice), self.settings.threshold)
        return {
            "validation_loss": float(np.mean(losses)),
            OBJECTIVE: float(np.mean(objectives)),
            DICE: mean,
            THRESHOLD: threshold,
        }

    def _frozen_maps(self) -> FrozenMaps | None:
        """Return the memory of an encoder's maps, where they stay the same over all epochs."""
        settings = self.settings
        unchanged = settings.augmentation in ("none", []) and settings.input != "patch" and not settings.copy_paste
        if not isinstance(self.network, EncoderDecoder) or not self.frozen or not unchanged:
            return None
        return None if self.network.encoder.added_parameters() else FrozenMaps(self.network)

    def _training_logits(self, inputs: Tensor, rows: Sequence[int]) -> list[Tensor]:
        """Return the logits of all outputs for inputs (N, channels, rows, columns) of the images `rows`."""
        return self.maps.outputs(inputs, rows) if self.maps and rows else self.model.training_logits(inputs)

    def _batch_logits(self, batch: ImageBatch) -> list[Tensor]:
        """Return the logits of all outputs for a batch."""
        return self._training_logits(batch.inputs.to(self.model.device), batch.rows)

    def _enlarged(self, outputs: Sequence[Tensor], like: Tensor) -> list[Tensor]:
        """Return logits in fp32 in the pixels of a tensor (N, channels, rows, columns)."""
        size = (int(like.shape[-2]), int(like.shape[-1]))
        return [self.model.upscale(logits.float(), size) for logits in outputs]
