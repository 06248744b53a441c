"""Freed memory given back to the system against freed memory kept: processor time of training steps on a CPU.

A tensor above a threshold is mapped by the C library for itself. When it is freed, its pages go back to the system, and
the next tensor of that size gets empty pages, each with a page fault. Work: a step of EfficientNet-Lite0 (32 pictures
of 128 pixels), a step of LiteMedSAM's image encoder (four images), and the encoding of one image. Each way runs in a
process of its own; the ways take turns, and the best step of each counts.
Run: `python benchmarks/bench_allocator.py [--repeat N] [--steps N] [--work NAME ...]`; it prints one JSON line for each
way and work, and one with the ratio.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch.nn import functional

from mammoflow.classification.classifier import Classifier
from mammoflow.config.classification import NETWORKS
from mammoflow.run.allocator import keep_freed_memory
from mammoflow.run.memory import peak_memory
from mammoflow.run.runtime import set_threads
from mammoflow.segmentation.loading import build_model

WAYS = ("given back", "kept")
CPU = torch.device("cpu")


def classifier_step() -> Callable[[], object]:
    """Return a training step of EfficientNet-Lite0."""
    network = NETWORKS.load("efficientnet_lite0").build(NETWORKS.options("efficientnet_lite0")(), None, 0)
    classifier = Classifier(network, torch.zeros(1, 1, 1), torch.ones(1, 1, 1), 0, 0.2).train()
    optimiser = torch.optim.AdamW(classifier.parameters())
    inputs, target = {"picture": torch.rand(32, 1, 128, 128)}, torch.arange(32) % 2.0

    def step() -> None:
        optimiser.zero_grad()
        functional.binary_cross_entropy_with_logits(classifier(inputs), target).backward()
        optimiser.step()

    return step


def encoder_step() -> Callable[[], object]:
    """Return a training step of LiteMedSAM's image encoder."""
    encoder = build_model("lite_medsam", None, "random", CPU).network.get_submodule("image_encoder").train()
    optimiser = torch.optim.AdamW(encoder.parameters())
    images = torch.rand(4, 3, 256, 256)

    def step() -> None:
        optimiser.zero_grad()
        encoder(images).square().mean().backward()
        optimiser.step()

    return step


def encoding() -> Callable[[], object]:
    """Return the encoding of one image by LiteMedSAM."""
    encoder = build_model("lite_medsam", None, "random", CPU).network.get_submodule("image_encoder").eval()
    image = torch.rand(1, 3, 256, 256)

    @torch.inference_mode()
    def encode() -> object:
        return encoder(image)

    return encode


WORK = {"classifier step": classifier_step, "encoder step": encoder_step, "encoding": encoding}


def measure(work: str, way: str, steps: int) -> None:
    """Time steps in this process, and print the best one and the page faults of each."""
    set_threads(1)
    if way == "kept":
        keep_freed_memory()
    torch.manual_seed(0)
    step = WORK[work]()
    step()
    seconds, before = [], resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        start = time.process_time()
        step()
        seconds.append(time.process_time() - start)
    faults = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / steps
    print(json.dumps({"seconds": min(seconds), "page_faults": faults, "peak_gib": peak_memory(CPU) / 2**30}))


def main() -> None:
    """Start a process for each way in turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--work", nargs="+", choices=WORK, default=list(WORK))
    parser.add_argument("--way", choices=WAYS, help="measure this way in this process alone")
    options = parser.parse_args()
    if options.way:
        measure(options.work[0], options.way, options.steps)
        return
    for work in options.work:
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(options.repeat):
            for way in WAYS:
                command = [sys.executable, __file__, "--way", way, "--steps", str(options.steps), "--work", work]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                runs[way].append(json.loads(done.stdout))
        best = {way: min(of_way, key=lambda run: run["seconds"]) for way, of_way in runs.items()}
        for way, run in best.items():
            print(json.dumps({"work": work, "memory": way} | {key: round(value, 4) for key, value in run.items()}))
        ratio = best["given back"]["seconds"] / best["kept"]["seconds"]
        print(json.dumps({"work": work, "ratio": round(ratio, 3)}), flush=True)


if __name__ == "__main__":
    main()
