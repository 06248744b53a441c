"""The shipped small model against a plain U-Net on the prompt's crop and the ellipse, on held-out patients.

    python benchmarks/bench_small_model.py [--images FOLDER ...] [--epochs N] [--weights FILE]

The U-Net (Ronneberger et al., MICCAI 2015) sees the grey level of the crop around the box and the box, and nothing
else. It is trained here, on the training patients of the same shards, with the same augmentation, margins, loss and
optimiser as the small model; `--epochs` says how long. Both are scored on the test patients, of whom neither was
trained on any. Without the images of the real preset the benchmark says so and ends.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mammoflow.config.small import SmallTrainingSettings
from mammoflow.segmentation.models.small import WEIGHTS
from mammoflow.segmentation.scoring.scores import ellipse_in_box
from mammoflow.segmentation.small.architecture import (
    EMBEDDING_STRIDE,
    HEADS,
    INPUT_CHANNELS,
    SIDE,
    WIDTHS,
    build_small_network,
)
from mammoflow.segmentation.small.learner import make_learner, make_plan
from mammoflow.segmentation.small.network import SmallPrompts, decode_regions, place_regions, put_back
from mammoflow.segmentation.small.windows import LesionSample, load_samples
from mammoflow.training.loop import fit

IMAGES = [Path("results/cbis-ddsm-mass-256/images")]
MARGINS_MM = (0.0, 2.0, 5.0, 10.0, 20.0)
UNET_WIDTHS = (16, 32, 64, 128, 256)
INSIDE_BOX = INPUT_CHANNELS + 1


def double(channels: int, out: int) -> nn.Sequential:
    """Two 3 x 3 convolutions with batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True),
        nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True),
    )  # fmt: skip


class UNet(nn.Module):
    """A plain U-Net in the place of the small model's decoder: grey level and box in, one mask out."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(double(a, b) for a, b in zip((2, *UNET_WIDTHS), UNET_WIDTHS, strict=False))
        pairs = list(zip(UNET_WIDTHS[1:], UNET_WIDTHS, strict=False))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(below, here, 2, 2) for below, here in pairs)
        self.up = nn.ModuleList(double(2 * here, here) for _, here in pairs)
        self.last = nn.Conv2d(UNET_WIDTHS[0], 1, 1)
        self.iou = nn.Parameter(torch.zeros(1))

    def forward(self, region: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Segment regions; every head gives the one mask."""
        values, passed = region[:, [0, INSIDE_BOX]], []
        for level, block in enumerate(self.down):
            values = block(nn.functional.max_pool2d(values, 2) if level else values)
            passed.append(values)
        for level in reversed(range(len(self.up))):
            values = self.up[level](torch.cat([self.grow[level](values), passed[level]], dim=1))
        logits = self.last(values).expand(-1, HEADS, -1, -1)
        return logits, self.iou.expand(len(logits), HEADS), logits.new_zeros(len(logits), HEADS, WIDTHS[-1])


class NoEncoder(nn.Module):
    """What stands in for the image encoder: the U-Net sees nothing but its crop."""

    def forward(self, values: Tensor) -> Tensor:
        """Return the input at the embedding's cells."""
        return values[:, :, ::EMBEDDING_STRIDE, ::EMBEDDING_STRIDE]


class UNetOnCrop(nn.Module):
    """The U-Net with the parts that the training expects."""

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = NoEncoder()
        self.mask_decoder = UNet()


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
def score(network: Any, samples: list[LesionSample]) -> tuple[np.ndarray, float, float]:
    """Return the Dice (samples, margins), and the seconds an image and a prompt take."""
    network.eval()
    rows, encoding, decoding = [], 0.0, 0.0
    for sample in samples:
        channels = torch.from_numpy(sample.channels.astype(np.float32))[None]
        start = time.perf_counter()
        image = network.image_encoder(channels.contiguous(memory_format=torch.channels_last))
        encoded = time.perf_counter()
        boxes = torch.from_numpy(prompt_boxes(sample))
        prompts = SmallPrompts.of_boxes(boxes)
        regions = place_regions(prompts)
        parts = (tensor.expand(len(boxes), -1, -1, -1) for tensor in (image, channels))
        logits, _, _ = decode_regions(network, *parts, prompts, regions)
        masks = put_back(logits[:, :1], regions)[:, 0] > 0
        decoding += (time.perf_counter() - encoded) / len(boxes)
        encoding += encoded - start
        rows.append(dice(masks.numpy(), sample.mask > 0))
    return np.stack(rows), encoding / len(samples), decoding / len(samples)


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
    learner, plan = make_learner(training, settings, UNetOnCrop), make_plan(settings, torch.device("cpu"))
    fit(learner, plan, options.output / "training", "U-Net on the crop")
    unet = learner.network
    seconds = time.perf_counter() - start
    small = build_small_network()
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
    for name, network in (("small", small), ("U-Net on the crop", unet)):
        values, image_seconds, prompt_seconds = score(network, test)
        figures[name] = values.mean(axis=0).round(4).tolist()
        print(f"{name:22}", "  ".join(f"{value:6.3f}" for value in figures[name]), end="")
        print(f"  ({1000 * image_seconds:.0f} ms an image, {1000 * prompt_seconds:.1f} ms a prompt)")
    figures["ellipse"] = ellipses.mean(axis=0).round(4).tolist()
    print(f"{'ellipse':22}", "  ".join(f"{value:6.3f}" for value in figures["ellipse"]))
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
