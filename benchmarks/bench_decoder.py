"""Decoding box prompts with SAM's mask decoder: segment-anything's module against mammoflow's arrangement of it.

Both have the same seeded random weights and one embedding, and compute in fp32. Run:
`python benchmarks/bench_decoder.py [--threads N] [--repeat N]`; it prints one JSON line for each number of prompts that
are decoded together, with seconds a prompt. The rivals take turns, and the best of each counts.
"""

from __future__ import annotations

import argparse
import os
from functools import partial

import torch
from bench_encoder import best_of, seeded_network, show

from mammoflow.run.runtime import set_threads
from mammoflow.segmentation.layers.mask_decoder import run_mask_decoder

TOGETHER = (1, 4, 16)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeat", type=int, default=6)
    options = parser.parse_args()
    set_threads(options.threads)
    network = seeded_network()
    decoder, prompts = network.mask_decoder, network.prompt_encoder
    image, position = torch.randn(1, 256, 64, 64), prompts.get_dense_pe()
    for count in TOGETHER:
        corner = torch.rand(count, 2) * 500
        boxes = torch.cat([corner, corner + 20 + torch.rand(count, 2) * 400], dim=1)
        sparse, dense = prompts(points=None, boxes=boxes, masks=None)
        ways = {
            "segment-anything": partial(decoder.predict_masks, image, position, sparse, dense),
            "mammoflow": partial(run_mask_decoder, decoder, image.expand(count, -1, -1, -1), position, sparse, dense),
        }
        difference = ways["segment-anything"]()[0] - ways["mammoflow"]()[0]
        times = {name: (wall / count, spent / count) for name, (wall, spent) in best_of(options.repeat, ways).items()}
        (wall, spent), (own_wall, own_spent) = times["segment-anything"], times["mammoflow"]
        record = {
            "segment_anything_processor_s": spent,
            "mammoflow_processor_s": own_spent,
            "ratio_processor": spent / own_spent,
            "ratio_wall": wall / own_wall,
            "largest_difference": f"{difference.abs().max().item():.1e}",
        }
        show(f"{count} boxes together", record)


if __name__ == "__main__":
    main()
