"""How much of a training step the random changes of context crops take: 32 squares of 160 pixels, one thread.

    python benchmarks/bench_crops.py --repeat 5

Prints the processor time, the least of all repetitions, of drawing a batch and of a training step of each network, and
the share that drawing adds to the step.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch

from mammoflow.classification.batches import stack
from mammoflow.classification.classifier import Classifier
from mammoflow.classification.context import ContextSamples, cached_side
from mammoflow.config.classification import NETWORKS
from mammoflow.config.pictures import ContextCropOptions

BATCH = 32


def best(work: Callable[[], object], repeat: int) -> float:
    """Return the least processor time of some repetitions."""
    seconds = []
    for _ in range(repeat):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--networks", nargs="+", default=["resnet_small", "efficientnet_b0"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    crop = ContextCropOptions()
    side = cached_side(crop)
    pictures = np.random.default_rng(0).integers(0, 65535, (BATCH, 1, side, side)).astype(np.uint16)
    labels, split = (np.arange(BATCH) % 2).astype(np.float32), np.array(["train"] * BATCH, dtype=object)
    samples = ContextSamples(pictures, labels, split, {}, crop)

    def draw() -> dict[str, torch.Tensor]:
        return stack([samples.drawn(row, np.random.default_rng([0, 0, row])) for row in range(BATCH)])

    drawing = best(draw, options.repeat)
    print(f"drawing {BATCH} squares of {crop.image_px} pixels: {drawing * 1000:.1f} ms")
    inputs, target = draw(), torch.from_numpy(labels)
    for name in options.networks:
        network = NETWORKS.load(name).build(NETWORKS.options(name)(), None, 0)
        classifier = Classifier(network, *samples.levels(np.arange(BATCH)), 0, 0.2).train()
        optimiser = torch.optim.AdamW(classifier.parameters())

        def step(classifier: Classifier = classifier, optimiser: torch.optim.Optimizer = optimiser) -> None:
            optimiser.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(classifier(inputs), target).backward()
            optimiser.step()

        training = best(step, options.repeat)
        print(f"{name}: step {training * 1000:.0f} ms, drawing adds {drawing / training:.1%}")


if __name__ == "__main__":
    main()
