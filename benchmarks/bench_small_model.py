"""The shipped small model against a plain U-Net on the prompt's crop and the ellipse, on held-out patients.

    python benchmarks/bench_small_model.py [--images FOLDER ...] [--epochs N] [--weights FILE]

The U-Net is that of the architecture `unet_16` with two input channels: the grey level of the crop around the box, and
the inside of the box. It is trained here, on the training patients of the same shards, with the windows, boxes,
schedule and averaging of the small model, by cross-entropy and Dice; `--epochs` says how long. Both are scored on the
test patients, of whom neither was trained on any. Without the images of the real preset the benchmark says so and ends.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mammoflow.config.small import SmallTrainingSettings
from mammoflow.run.runtime import seed_everything
from mammoflow.segmentation.layers.unet import UNet
from mammoflow.segmentation.losses import dice_loss
from mammoflow.segmentation.models.small import WEIGHTS
from mammoflow.segmentation.models.unet import BASE_WIDTHS
from mammoflow.segmentation.scoring.scores import ellipse_in_box
from mammoflow.segmentation.small.architecture import GRID, SIDE, SmallNetwork, build_small_network
from mammoflow.segmentation.small.learner import make_plan
from mammoflow.segmentation.small.network import (
    SUPERSAMPLING,
    SmallPrompts,
    cut,
    decode_regions,
    place_regions,
    put_back,
)
from mammoflow.segmentation.small.windows import Batch, LesionSample, batches, load_samples
from mammoflow.training.learner import Learner
from mammoflow.training.loop import fit

IMAGES = [Path("results/cbis-ddsm-mass-256/images")]
MARGINS_MM = (0.0, 2.0, 5.0, 10.0, 20.0)

Masks = Callable[[Tensor, SmallPrompts], Tensor]
"""Turns the channels (1, C, SIDE, SIDE) of an image and N prompts into logits (N, 1, SIDE, SIDE)."""


def crop_input(channels: Tensor, prompts: SmallPrompts, regions: Tensor) -> Tensor:
    """Return grey level and inside of the box (N, 2, GRID, GRID) on the regions around boxes."""
    steps = (torch.arange(GRID, device=regions.device) + 0.5) / GRID
    x, y = (regions[:, axis, None] + steps * (regions[:, axis + 2] - regions[:, axis])[:, None] for axis in (0, 1))
    boxes = prompts.boxes
    across = (x > boxes[:, 0, None]) & (x < boxes[:, 2, None])
    down = (y > boxes[:, 1, None]) & (y < boxes[:, 3, None])
    inside = (down[:, :, None] & across[:, None, :]).to(channels.dtype)
    return torch.cat([cut(channels[:, :1], regions, GRID, 1, SUPERSAMPLING), inside[:, None]], dim=1)


class CropLearner(Learner):
    """The training of the U-Net on the crops around boxes; the average of the weights after the last epoch is kept."""

    items = "windows"

    def __init__(self, samples: list[LesionSample], settings: SmallTrainingSettings) -> None:
        seed_everything(settings.seed)
        self.samples, self.settings = samples, settings
        self.network = UNet(channels=2, base_width=BASE_WIDTHS["unet_16"])

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the windows on which the small model is trained too."""
        generator = np.random.default_rng((self.settings.seed, epoch))
        return batches(self.samples, self.settings.batch_size, self.settings.prompts, generator)

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-len(self.samples) // self.settings.batch_size)

    def size(self, batch: Batch) -> int:
        """Return the number of windows."""
        return len(batch.channels)

    def loss(self, batch: Batch, epoch: int, step: int) -> Tensor:
        """Return cross-entropy and Dice loss on the crops of all boxes; prompts of points alone are left out."""
        boxes = batch.boxes.flatten(0, 1)
        has_box = boxes.isfinite().all(dim=1)
        prompts = SmallPrompts.of_boxes(boxes[has_box])
        regions = place_regions(prompts)
        count = batch.boxes.shape[1]
        channels, masks = (values.repeat_interleave(count, dim=0)[has_box] for values in (batch.channels, batch.masks))
        targets = cut(masks, regions, GRID, 1, SUPERSAMPLING)
        logits = self.network(crop_input(channels, prompts, regions)).float()
        return functional.binary_cross_entropy_with_logits(logits, targets) + dice_loss(logits, targets).mean()

    def validate(self, epoch: int) -> dict[str, float]:
        """Return nothing: all lesions are trained on."""
        return {}

    def masks(self, channels: Tensor, prompts: SmallPrompts) -> Tensor:
        """Return the logits (N, 1, SIDE, SIDE) of N boxes on one image."""
        regions = place_regions(prompts)
        inputs = crop_input(channels.expand(len(regions), -1, -1, -1), prompts, regions)
        return put_back(self.network(inputs), regions)


def small_masks(network: SmallNetwork) -> Masks:
    """Return the function that segments with the small model."""

    def masks(channels: Tensor, prompts: SmallPrompts) -> Tensor:
        regions = place_regions(prompts)
        image = network.image_encoder(channels.contiguous(memory_format=torch.channels_last))
        parts = (tensor.expand(len(regions), -1, -1, -1) for tensor in (image, channels))
        logits, _, _ = decode_regions(network, *parts, prompts, regions)
        return put_back(logits[:, :1], regions)

    return masks


def prompt_boxes(sample: LesionSample) -> np.ndarray:
    """Return the boxes (margins, 4) x0, y0, x1, y1 around a lesion, clipped to the image, as the prompt stage does."""
    rows, columns = np.flatnonzero(sample.mask.any(axis=1)), np.flatnonzero(sample.mask.any(axis=0))
    tight = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)
    margins = np.array(MARGINS_MM)[:, None] / np.array([sample.spacing_mm[1], sample.spacing_mm[0]])
    image = sample.channels[-1] > 0
    size = np.tile([image.any(axis=0).sum(), image.any(axis=1).sum()], 2)
    return np.clip(tight + np.concatenate([-margins, margins], axis=1), 0, size).astype(np.float32)


def dice(masks: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the Dice (N,) of masks (N, rows, columns) with a reference (rows, columns)."""
    shared = (masks & reference).sum(axis=(1, 2))
    return 2 * shared / (masks.sum(axis=(1, 2)) + reference.sum())


@torch.inference_mode()
def score(masks: Masks, samples: list[LesionSample]) -> tuple[np.ndarray, float]:
    """Return the Dice (samples, margins), and the seconds that an image with its prompts takes."""
    rows, seconds = [], 0.0
    for sample in samples:
        channels = torch.from_numpy(sample.channels.astype(np.float32))[None]
        start = time.perf_counter()
        logits = masks(channels, SmallPrompts.of_boxes(torch.from_numpy(prompt_boxes(sample))))
        seconds += time.perf_counter() - start
        rows.append(dice(logits[:, 0].numpy() > 0, sample.mask > 0))
    return np.stack(rows), seconds / len(samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, nargs="+", default=IMAGES, help="folders of image-stage shards")
    parser.add_argument("--epochs", type=int, default=24, help="passes of the U-Net over the training lesions")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="weights of the small model")
    parser.add_argument("--output", type=Path, default=Path("results/bench_small_model"), help="folder for the figures")
    options = parser.parse_args()
    shards = sorted(path.parent for folder in options.images for path in folder.glob("*/images.parquet"))
    if not shards:
        print(f"no image shards in {', '.join(map(str, options.images))}; run the preset cbis-ddsm-mass-256 first")
        return
    from safetensors.torch import load_file

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    training, test = (load_samples(shards, (split,)).lesions for split in ("train", "test"))
    settings = SmallTrainingSettings(epochs=options.epochs, mixed_precision=True)
    start = time.perf_counter()
    learner = CropLearner(training, settings)
    fit(learner, make_plan(settings, torch.device("cpu")), options.output / "training", "U-Net on the crop")
    seconds = time.perf_counter() - start
    small = build_small_network().eval()
    small.load_state_dict(load_file(options.weights))
    ellipses = np.stack(
        [
            dice(np.stack([ellipse_in_box(box[[1, 0, 3, 2]], (SIDE, SIDE)) for box in prompt_boxes(s)]), s.mask > 0)
            for s in test
        ]
    )
    print(f"{len(test)} lesions of {len({s.patient_id for s in test})} test patients; U-Net trained {seconds:.0f} s")
    print("margin in mm          ", "  ".join(f"{margin:6.0f}" for margin in MARGINS_MM))
    figures: dict[str, Any] = {"margins_mm": MARGINS_MM, "lesions": len(test), "unet_seconds": round(seconds)}
    for name, masks in (("small", small_masks(small)), ("U-Net on the crop", learner.masks)):
        values, image_seconds = score(masks, test)
        figures[name] = values.mean(axis=0).round(4).tolist()
        print(f"{name:22}", "  ".join(f"{value:6.3f}" for value in figures[name]), end="")
        print(f"  ({1000 * image_seconds:.0f} ms for an image with {len(MARGINS_MM)} prompts)")
    figures["ellipse"] = ellipses.mean(axis=0).round(4).tolist()
    print(f"{'ellipse':22}", "  ".join(f"{value:6.3f}" for value in figures["ellipse"]))
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
