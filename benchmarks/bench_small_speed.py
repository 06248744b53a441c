"""What the shipped small model costs in bf16, against itself in fp32 in the same run.

    python benchmarks/bench_small_speed.py [--threads N] [--repeats N]

An image of 1024 x 800 pixels is encoded, and prompts on it are decoded together to masks at its resolution; both
precisions in turn. Medians are printed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from mammoflow.config.inference import EncoderUse, Precision
from mammoflow.segmentation.loading import load_promptable
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.weights.registry import ModelSpec

SIZE = (1024, 800)
COUNTS = (5, 20)
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def milliseconds(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def measure(model: PromptableModel, image: np.ndarray, boxes: np.ndarray) -> list[float]:
    """Return the milliseconds of one image, and of one prompt for each of `COUNTS`."""
    times = [milliseconds(lambda: model.encode([image]))]
    embedding = model.encode([image])[0]
    for count in COUNTS:
        prompts = Prompts.of(boxes[:count])
        times.append(milliseconds(lambda prompts=prompts: model.decode(embedding, prompts, SIZE)) / count)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="threads of the computation")
    parser.add_argument(
        "--repeats", type=int, default=9, help="turns of both precisions, after one that is not counted"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    image = np.random.default_rng(0).integers(0, 65536, SIZE, dtype=np.uint16)
    boxes = np.array([[100 + 5 * i, 100, 300 + 5 * i, 320] for i in range(max(COUNTS))], dtype=np.float32)
    models = {
        name: load_promptable(ModelSpec("small", "small"), torch.device("cpu"), EncoderUse(name)) for name in PRECISIONS
    }
    turns = [[measure(models[name], image, boxes) for name in PRECISIONS] for _ in range(options.repeats + 1)]
    exact, rounded = np.median(np.array(turns[1:]), axis=0)
    for row, name in enumerate(["an image", *(f"a prompt of {count}" for count in COUNTS)]):
        print(
            f"{name:16} fp32 {exact[row]:5.1f} ms, bf16 {rounded[row]:5.1f} ms, ratio {exact[row] / rounded[row]:.1f}"
        )


if __name__ == "__main__":
    main()
