"""What an encoder learns from in masked autoencoding: the images of training patients, without their lesions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mammoflow.config.masked_autoencoder import MaskedAutoencoderSettings
from mammoflow.segmentation.automatic.samples import TrainingImages
from mammoflow.segmentation.automatic.sampling import ImageBatch, Sampler
from mammoflow.segmentation.layers.masked_autoencoder import MaskedAutoencoder
from mammoflow.segmentation.networks.encoder_decoder import EncoderDecoderModel
from mammoflow.training.batching import Rows, cut_batches
from mammoflow.training.learner import Learner

FIXED_SEED = 7
"""Seed of the patches that validation hides, which are the same in every epoch."""


class MaskedLearner(Learner):
    """The masked autoencoding of the encoder of an automatic model; the last epoch is kept.

    Parameters
    ----------
    model
        A model whose encoder is a plain vision transformer.
    network
        That encoder with the decoder that fills in patches.
    images
        Images of the training side; their lesions are not used.
    settings
        Options of the recipe.
    """

    items = "images"

    def __init__(
        self,
        model: EncoderDecoderModel,
        network: MaskedAutoencoder,
        images: TrainingImages,
        settings: MaskedAutoencoderSettings,
    ) -> None:
        self.model, self.network, self.settings = model, network, settings
        self.sampler = Sampler(model, images, settings)
        self.validation_rows = images.rows("validation")
        self.patches = network.positions.shape[1]
        self.seen = max(1, round((1 - settings.masked_share) * self.patches))

    def batches(self, epoch: int) -> Iterator[ImageBatch]:
        """Yield images or patches in an order and with changes that seed and epoch decide."""
        return self.sampler.batches(epoch)

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return self.sampler.steps()

    def size(self, batch: ImageBatch) -> int:
        """Return the number of samples in a batch."""
        return len(batch)

    def split(self, batch: ImageBatch) -> list[ImageBatch]:
        """Return two halves of a batch."""
        return batch.halves()

    def loss(self, batch: ImageBatch, epoch: int, step: int) -> Tensor:
        """Return the error of the hidden patches, which are drawn anew in each step."""
        return self._error(batch.inputs, torch.rand(len(batch), self.patches))

    def validate(self, epoch: int) -> dict[str, float]:
        """Return the error of the hidden patches of the validation images; no choice depends on it."""
        losses, sizes = [], []
        generator = torch.Generator().manual_seed(FIXED_SEED)
        for rows in cut_batches(self.validation_rows, self.settings.batch_size, None):
            draws = torch.rand(len(rows), self.patches, generator=generator)
            losses.append(float(self._error(self._unchanged(rows), draws)))
            sizes.append(len(rows))
        return {"validation_loss": float(np.average(losses, weights=sizes))}

    def _unchanged(self, rows: Rows) -> Tensor:
        """Return the inputs (N, 3, side, side) of images without random changes; of patches the central one."""
        return torch.stack([self.sampler.unchanged(int(row)) for row in rows])

    def _error(self, inputs: Tensor, draws: Tensor) -> Tensor:
        """Return the error where each sample hides the patches with the largest draws (N, patches)."""
        device = self.model.device
        pictures = self.model.network.pictures(inputs.to(device))
        error: Tensor = self.network(pictures, draws.argsort(dim=1).to(device), self.seen)
        return error
