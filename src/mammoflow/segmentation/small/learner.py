"""The training of the small model: windows around lesions, two refinement iterations, cross-entropy and Dice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.config.small import SmallTrainingSettings
from mammoflow.run.runtime import seed_everything
from mammoflow.segmentation.losses import dice_loss, mask_iou
from mammoflow.segmentation.small.architecture import GRID, build_small_network
from mammoflow.segmentation.small.network import (
    SUPERSAMPLING,
    SmallPrompts,
    cut,
    decode_regions,
    place_regions,
    put_back,
)
from mammoflow.segmentation.small.windows import WINDOW, Batch, LesionSample, batches
from mammoflow.training.learner import Learner
from mammoflow.training.plan import OneCycle, Plan

ENTROPY_WEIGHT = 1.0
SEVERAL_HEADS_WEIGHT = 0.3
AGAIN_EVERY = 4
"""Steps from one with a second iteration to the next."""

EMA_DECAY = 0.995
"""Of the weights that are averaged in the second half; the first steps' weights would stay in a longer average."""

SCHEDULE = OneCycle(rising_share=0.05, first_share=1 / 20, final_share=1 / 400, rise="cosine", momentum=(0.95, 0.85))
"""A short warm-up from a twentieth of the highest rate, then a cosine down to 1/400 of it; momentum runs against it."""


def mask_losses(logits: Tensor, predicted_iou: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of the single-mask head and, with a smaller weight, of the best of the three other heads.

    Cross-entropy + Dice, as usual for training from scratch (Isensee et al., Nature Methods 2021); SAM's focal loss
    fell back to empty masks here. The predicted IoU learns by squared error, as SAM's does.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits.float(), targets.expand_as(logits), reduction="none")
    masks = ENTROPY_WEIGHT * entropy.mean(dim=(-2, -1)) + dice_loss(logits, targets)
    iou_error = (predicted_iou - mask_iou(logits, targets)).square()
    single, several = masks[:, 0], masks[:, 1:].min(dim=1).values
    return (single + SEVERAL_HEADS_WEIGHT * several).mean() + iou_error.mean()


class SmallLearner(Learner):
    """A network with the parts `image_encoder` and `mask_decoder`, and augmented windows around lesions.

    Batch normalisation is in training mode: a batch holds the windows of many images. Nothing is validated, and the
    average of the weights after the last epoch is kept.

    Parameters
    ----------
    samples
        Lesions to train on.
    settings
        Batch size, prompts, seed.
    network
        The network, with fresh weights.
    """

    items = "windows"

    def __init__(self, samples: list[LesionSample], settings: SmallTrainingSettings, network: nn.Module) -> None:
        self.samples, self.settings, self.network = samples, settings, network

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the augmented windows of an epoch."""
        generator = np.random.default_rng((self.settings.seed, epoch))
        return batches(self.samples, self.settings.batch_size, self.settings.prompts, generator)

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-len(self.samples) // self.settings.batch_size)

    def size(self, batch: Batch) -> int:
        """Return the number of windows."""
        return len(batch.channels)

    def split(self, batch: Batch) -> list[Batch]:
        """Return two halves of the windows, or a single window alone."""
        count = len(batch.channels)
        if count < 2:
            return [batch]
        halves = zip(*(tensor.split((count + 1) // 2) for tensor in batch), strict=True)
        return [Batch(*tensors) for tensors in halves]

    def loss(self, batch: Batch, epoch: int, step: int) -> Tensor:
        """Decode every prompt of every window; every fourth step once more with the mask of the first iteration."""
        network: nn.Module = self.network
        device = next(network.parameters()).device
        batch = Batch(*(tensor.to(device) for tensor in batch))
        count = batch.boxes.shape[1]
        channels = batch.channels.contiguous(memory_format=torch.channels_last)
        image = network.image_encoder(channels).repeat_interleave(count, dim=0)  # type: ignore[operator]
        channels = channels.repeat_interleave(count, dim=0)
        prompts = SmallPrompts(batch.boxes.flatten(0, 1), batch.points.flatten(0, 1), batch.labels.flatten(0, 1))
        regions = place_regions(prompts)
        targets = cut(batch.masks.repeat_interleave(count, dim=0), regions, GRID, 1, SUPERSAMPLING)
        first, first_iou, _ = decode_regions(network, image, channels, prompts, regions)  # type: ignore[arg-type]
        loss = mask_losses(first, first_iou, targets)
        if step % AGAIN_EVERY:
            return loss
        with torch.no_grad():
            frame = put_back(first[:, :1], regions, WINDOW)
        again = replace(prompts, mask_logits=frame)
        second, second_iou, _ = decode_regions(network, image, channels, again, regions)  # type: ignore[arg-type]
        return (loss + mask_losses(second, second_iou, targets)) / 2

    def validate(self, epoch: int) -> dict[str, float]:
        """Return nothing: all lesions are trained on."""
        return {}


def make_plan(settings: SmallTrainingSettings, device: torch.device) -> Plan:
    """Return the plan of the recipe: the whole schedule, and the average of the second half's weights."""
    return Plan(
        settings.epochs,
        None,
        settings.learning_rate,
        settings.weight_decay,
        settings.seed,
        device,
        "bf16-mixed" if settings.mixed_precision else "32-true",
        averaging=EMA_DECAY,
        schedule=SCHEDULE,
    )


def make_learner(
    samples: list[LesionSample],
    settings: SmallTrainingSettings,
    build: Callable[[], nn.Module] = build_small_network,
) -> SmallLearner:
    """Return the learner of a network with fresh weights, which follow from the seed.

    Parameters
    ----------
    samples
        Lesions to train on.
    settings
        Batch size, prompts, seed.
    build
        Makes the network; another one with the parts `image_encoder` and `mask_decoder` is trained in the same way.
    """
    seed_everything(settings.seed)
    return SmallLearner(samples, settings, build())
