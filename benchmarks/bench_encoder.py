"""Encoding one 1024 x 1024 image with SAM's ViT-B: segment-anything's predictor against mammoflow, in one run.

The predictor's `set_image` computes as published, in fp32. mammoflow encodes the same image with the same seeded random
weights, once in the precision that `auto` gives on this machine and once in fp32. Before that, the attention alone, for
a layer over the whole image and one over windows: the scores written out as segment-anything does, torch's fused kernel
with the positions as an additive mask, the fused kernel with the positions as further channels, and blocks of scores.
With `--compile` the encoder is also compiled by `torch.compile`. With `--device cuda` batches of each size are timed
instead, with the share of the time in which a batch was under way on the GPU (gaps between its kernels included) and
what 1,231 images would take.
Run: `python benchmarks/bench_encoder.py [--threads N] [--repeat N]`; it prints one JSON line a comparison. The rivals
take turns, and the best of each counts. Processor seconds leave out the wait for other programs, wall-clock seconds do
not.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from segment_anything import SamPredictor, sam_model_registry
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.config.inference import Precision
from mammoflow.run.runtime import set_threads
from mammoflow.segmentation.layers.attention import attention_in_blocks, attention_in_one_kernel
from mammoflow.segmentation.loading import build_model
from mammoflow.segmentation.networks.rgb_input import to_rgb
from mammoflow.segmentation.protocol.prediction import Encoding
from mammoflow.segmentation.protocol.promptable import PromptableModel

SIDE = 1024
FILMS = 1231  # mass films of CBIS-DDSM's training set
HEADS, CHANNELS = 12, 64
LAYERS = {"attention over the image": (1, 64), "attention over windows": (25, 14)}
SIZES = (1, 2, 4, 8, 16, 32)

Ways = dict[str, Callable[[], object]]
Times = dict[str, tuple[float, float]]


def film() -> npt.NDArray[np.uint16]:
    """Make a canonical image (height, width) of blur and grain."""
    random = np.random.default_rng(0)
    tissue = cv2.resize(random.random((16, 16), dtype=np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    grey = np.clip(tissue * 50000 + random.integers(0, 3000, (SIDE, SIDE)), 0, 65535)
    return np.asarray(grey, dtype=np.uint16)


def seeded_network() -> Any:
    """Build segment-anything's ViT-B with seeded random weights, relative positions included."""
    torch.manual_seed(0)
    network = sam_model_registry["vit_b"]().eval()
    for name, parameter in network.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            nn.init.normal_(parameter, std=0.1)
    return network


def own_model(state: dict[str, Tensor], precision: Precision, device: torch.device) -> PromptableModel:
    """Build mammoflow's model of the same weights."""
    model = build_model("sam_vit_b", state, "random", device)
    model.use_precision(precision)
    return model


def best_of(repeat: int, ways: Ways) -> Times:
    """Return the least wall-clock and processor seconds of each way; the ways take turns."""
    wall: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeat):
        for name, work in ways.items():
            start, start_processor = time.perf_counter(), time.process_time()
            work()
            wall[name].append(time.perf_counter() - start)
            processor[name].append(time.process_time() - start_processor)
    return {name: (min(wall[name]), min(processor[name])) for name in ways}


def show(name: str, record: dict[str, Any]) -> None:
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in record.items()}
    print(json.dumps({"comparison": name} | rounded), flush=True)


def compare(name: str, times: Times, rival: str, own: str) -> None:
    """Print how many times as long the rival takes."""
    record = {"rival": rival, "rival_s": times[rival][0], "rival_cpu_s": times[rival][1]}
    record |= {"ours": own, "ours_s": times[own][0], "ours_cpu_s": times[own][1]}
    ratios = {"ratio": times[rival][0] / times[own][0], "ratio_cpu": times[rival][1] / times[own][1]}
    show(name, record | ratios | {"load_of_the_last_minute": os.getloadavg()[0], "threads": torch.get_num_threads()})


@torch.inference_mode()
def compare_encoders(repeat: int, compiled: bool) -> None:
    """Time whole encodings on the CPU, preprocessing included."""
    network, image, cpu = seeded_network(), film(), torch.device("cpu")
    state, predictor, rgb = network.state_dict(), SamPredictor(network), to_rgb(image)
    auto, exact = own_model(state, "auto", cpu), own_model(state, "fp32", cpu)
    own = f"mammoflow in {auto.precision}"
    ways: Ways = {
        "upstream in fp32": lambda: predictor.set_image(rgb),
        own: lambda: auto.encode([image]),
        "mammoflow in fp32": lambda: exact.encode([image]),
    }
    if compiled:
        whole = own_model(state, "auto", cpu)
        whole.network.get_submodule("image_encoder").compile()
        start = time.perf_counter()
        whole.encode([image])
        show("compiling", {"seconds": time.perf_counter() - start})
        ways[f"{own}, compiled"] = lambda: whole.encode([image])
    times = best_of(repeat, ways)
    compare("image encoder", times, "upstream in fp32", own)
    compare("image encoder, both in fp32", times, "upstream in fp32", "mammoflow in fp32")
    if compiled:
        compare("image encoder, compiled", times, own, f"{own}, compiled")


def scores_written_out(q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor, scale: float) -> Tensor:
    """Attend as segment-anything does, with the scores of all heads in memory."""
    scores = ((q * scale) @ k.transpose(-2, -1)).view(*rows.shape, columns.shape[-1])
    scores = scores + rows[..., None] + columns[..., None, :]
    return scores.flatten(-2).flatten(2, 3).softmax(dim=-1) @ v


def kernel_with_mask(q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor, scale: float) -> Tensor:
    """Attend by the fused kernel with the terms of the positions as an additive mask."""
    mask = (rows[..., None] + columns[..., None, :]).flatten(-2).flatten(2, 3)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


@torch.inference_mode()
def compare_attention(repeat: int) -> None:
    """Time one layer's attention on the CPU in both formats; the scores written out are the rival."""
    ways = {
        "scores written out": scores_written_out,
        "fused kernel with a mask": kernel_with_mask,
        "fused kernel with more channels": attention_in_one_kernel,
        "blocks": attention_in_blocks,
    }
    for name, (windows, side) in LAYERS.items():
        for kind in (torch.float32, torch.bfloat16):
            query, key, value = (torch.randn(windows, HEADS, side * side, CHANNELS).to(kind) for _ in range(3))
            terms = (torch.randn(windows, HEADS, side, side, side).to(kind) for _ in range(2))
            given = (query, key, value, next(terms), next(terms), CHANNELS**-0.5)
            times = best_of(repeat, {way: partial(work, *given) for way, work in ways.items()})
            for way in list(ways)[1:]:
                compare(f"{name}, {str(kind).removeprefix('torch.')}", times, "scores written out", way)


@torch.inference_mode()
def time_gpu(repeat: int, device: torch.device, compiled: bool) -> None:
    """Time batches on a GPU, one after the other without waiting, and upstream's single images."""
    network, image = seeded_network(), film()
    model = own_model(network.state_dict(), "auto", device)
    predictor, rgb = SamPredictor(network.to(device)), to_rgb(image)
    if compiled:
        model.network.get_submodule("image_encoder").compile()

    def upstream() -> None:
        predictor.set_image(rgb)
        torch.cuda.synchronize()

    upstream()
    upstream_s = best_of(repeat, {"upstream": upstream})["upstream"][0]
    inputs = model.preprocess(image).pin_memory()
    for size in SIZES:
        torch.cuda.reset_peak_memory_stats()
        model.start_encoding([inputs] * size).arrays()
        run = partial(encode_batches, model, inputs, size, max(4, 64 // size))
        seconds, busy = min(run() for _ in range(repeat))
        record = {"device": torch.cuda.get_device_name(), "precision": model.precision, "images": size}
        record |= {"images_per_s": 1 / seconds, "busy_share": busy, "ratio": upstream_s / seconds}
        memory = torch.cuda.max_memory_allocated() / 2**30
        show("batches on a GPU", record | {"peak_gib": memory, f"minutes_for_{FILMS}": seconds * FILMS / 60})


def encode_batches(model: PromptableModel, inputs: Tensor, size: int, count: int) -> tuple[float, float]:
    """Return seconds an image, and the share of the time in which a batch was under way on the GPU.

    Each batch is timed on the GPU by events round it; the next one is started before the last one is taken.
    """
    marks: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
    waiting: Encoding | None = None
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        before.record()
        begun = model.start_encoding([inputs] * size)
        after.record()
        marks.append((before, after))
        if waiting is not None:
            waiting.arrays()
        waiting = begun
    if waiting is not None:
        waiting.arrays()
    torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    busy = sum(before.elapsed_time(after) for before, after in marks) / 1000
    return seconds / (count * size), busy / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of the processor")
    parser.add_argument("--repeat", type=int, default=3, help="turns; the best counts")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile too; compiling takes a minute")
    options = parser.parse_args()
    set_threads(options.threads)
    device = torch.device(options.device)
    if device.type == "cuda":
        time_gpu(options.repeat, device, options.compile)
        return
    compare_attention(options.repeat)
    compare_encoders(options.repeat, options.compile)


if __name__ == "__main__":
    main()
