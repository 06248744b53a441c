"""The training of the small model: windows around lesions, two refinement iterations, cross-entropy and Dice."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from mammoflow.config.small import SmallTrainingSettings
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
from mammoflow.segmentation.small.samples import WINDOW, Batch, LesionSample, batches
from mammoflow.training.fitting import LAST, Trainer, quiet_lightning

ENTROPY_WEIGHT = 1.0
SEVERAL_HEADS_WEIGHT = 0.3
AGAIN_EVERY = 4
"""Steps from one with a second iteration to the next."""

EMA_DECAY = 0.995
"""Of the weights that are averaged in the second half; the first steps' weights would stay in a longer average."""


class Windows(IterableDataset[Batch]):
    """The augmented windows of one epoch after another; every epoch has a seed of its own."""

    def __init__(self, samples: list[LesionSample], settings: SmallTrainingSettings) -> None:
        self.samples = samples
        self.settings = settings
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self.samples) // self.settings.batch_size)

    def __iter__(self) -> Any:
        generator = np.random.default_rng((self.settings.seed, self.epoch))
        self.epoch += 1
        return batches(self.samples, self.settings.batch_size, self.settings.prompts, generator)


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


class SmallTraining(pl.LightningModule):
    """Training of the small network as a Lightning module."""

    def __init__(self, settings: SmallTrainingSettings, steps: int, network: Any) -> None:
        super().__init__()
        self.network = network
        self.settings = settings
        self.steps = steps
        self.started = time.monotonic()
        self.first_step: int | None = None

    def configure_optimizers(self) -> Any:
        """AdamW with a short warm-up and a cosine down to a hundredth."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(), self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            self.settings.learning_rate,
            total_steps=self.steps + 1,
            pct_start=0.05,
            div_factor=20,
            final_div_factor=20,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Decode every prompt of every window; every fourth step once more with the mask of the first iteration."""
        count = batch.boxes.shape[1]
        channels = batch.channels.contiguous(memory_format=torch.channels_last)
        image = self.network.image_encoder(channels).repeat_interleave(count, dim=0)
        channels = channels.repeat_interleave(count, dim=0)
        prompts = SmallPrompts(batch.boxes.flatten(0, 1), batch.points.flatten(0, 1), batch.labels.flatten(0, 1))
        regions = place_regions(prompts)
        targets = cut(batch.masks.repeat_interleave(count, dim=0), regions, GRID, 1, SUPERSAMPLING)
        first, first_iou, _ = decode_regions(self.network, image, channels, prompts, regions)
        loss = mask_losses(first, first_iou, targets)
        if index % AGAIN_EVERY == 0:
            with torch.no_grad():
                frame = put_back(first[:, :1], regions, WINDOW)
            again = replace(prompts, mask_logits=frame)
            second, second_iou, _ = decode_regions(self.network, image, channels, again, regions)
            loss = (loss + mask_losses(second, second_iou, targets)) / 2
        self._report(loss, first[:, :1], targets)
        return loss

    def _report(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Say every fifty steps how far the training is and how long it still takes."""
        if self.first_step is None:
            self.first_step = self.global_step
        if self.global_step % 50 == 0:
            iou = mask_iou(logits, targets)
            dice = (2 * iou / (1 + iou)).mean()
            done = self.global_step - self.first_step
            left = (time.monotonic() - self.started) / max(done, 1) * (self.steps - self.global_step)
            text = f"step {self.global_step} of {self.steps}: loss {loss.item():.3f}, Dice {dice.item():.3f}"
            print(f"{text}, {left:.0f} s left", flush=True)


def train(
    samples: list[LesionSample],
    settings: SmallTrainingSettings,
    folder: Path,
    device: torch.device,
    build: Callable[[], nn.Module] = build_small_network,
) -> dict[str, Tensor]:
    """Train on the samples and return the averaged weights by name.

    The training state is kept in `folder`; a run that was stopped goes on from its last epoch. `build` makes the
    network; another one with the parts `image_encoder` and `mask_decoder` is trained in the same way.
    """
    pl.seed_everything(settings.seed, verbose=False)
    data = Windows(samples, settings)
    module = SmallTraining(settings, len(data) * settings.epochs, build())
    last = folder / LAST
    with quiet_lightning():
        trainer = Trainer(
            device,
            "bf16-mixed" if settings.mixed_precision else "32-true",
            settings.epochs,
            gradient_clip_val=1.0,
            callbacks=[
                EMAWeightAveraging(decay=EMA_DECAY, update_starting_at_step=module.steps // 2),
                ModelCheckpoint(folder, filename=last.stem, enable_version_counter=False, save_on_train_epoch_end=True),
            ],
        )
        loader = DataLoader(data, batch_size=None, num_workers=0)
        if last.is_file():
            data.epoch = int(torch.load(last, map_location="cpu", weights_only=True)["epoch"]) + 1
        trainer.fit(module, loader, ckpt_path=last if last.is_file() else None, weights_only=True)
    return {name: value.detach().cpu().contiguous() for name, value in module.network.state_dict().items()}
