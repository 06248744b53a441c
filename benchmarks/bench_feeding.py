"""How fast threads of the processor feed an encoder: images read and prepared, and embeddings written, in one run.

A GPU waits for the processor if it encodes more images in a second than the processor reads and writes. This benchmark
writes canonical images, and runs what the segment stage does around its encoder: reading and preprocessing in threads
ahead of the encoder, and writing the embeddings to the store. The encoder itself takes no time, so the result is the
fastest encoder that these threads keep busy. The rival prepares one image after the other in one thread, as
segment-anything does, and stores it without a digest and without a sync to the disk.
Run: `python benchmarks/bench_feeding.py [--threads N] [--images N] [--side N] [--repeat N]`; it prints one JSON line.
The rivals take turns, and the best of each counts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from bench_encoder import best_of, compare, film, own_model, seeded_network
from segment_anything.utils.transforms import ResizeLongestSide

from mammoflow.imaging.canonical import read_canonical
from mammoflow.run.runtime import set_threads
from mammoflow.segmentation.embedding.embeddings import embeddings
from mammoflow.segmentation.networks.rgb_input import to_rgb
from mammoflow.segmentation.protocol.prediction import Embedding
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.storage.arrays import ArrayStore

EMBEDDING = (256, 64, 64)  # of SAM and MedSAM


def write_images(folder: Path, count: int, side: int) -> pd.DataFrame:
    """Write canonical images (side, side) and return the columns of their table that the stage reads."""
    (folder / "image").mkdir()
    image = cv2.resize(film(), (side, side), interpolation=cv2.INTER_AREA)
    rows = []
    for number in range(count):
        name = f"image/{number}.png"
        cv2.imwrite(str(folder / name), image)
        rows.append({"image_id": str(number), "image_file": name, "height": side, "width": side, "digest": str(number)})
    return pd.DataFrame(rows)


def give_the_same_embedding(model: PromptableModel) -> None:
    """Replace the encoder of a model by one that takes no time."""

    def embed(inputs: torch.Tensor) -> Embedding:
        return {"image": torch.zeros(len(inputs), *EMBEDDING)}

    model.embed = embed  # type: ignore[method-assign]


def as_the_stage(model: PromptableModel, table: pd.DataFrame, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as output:
        for _ in embeddings(model, table, folder, ArrayStore(Path(output)), 8):
            pass


def one_after_the_other(model: PromptableModel, table: pd.DataFrame, folder: Path) -> None:
    resize = ResizeLongestSide(1024)
    with tempfile.TemporaryDirectory() as output:
        for row in table.to_dict("records"):
            image = resize.apply_image(
                to_rgb(read_canonical(folder / row["image_file"], (row["height"], row["width"])))
            )
            model.network.preprocess(torch.as_tensor(image).permute(2, 0, 1).contiguous()[None])
            np.savez(Path(output) / f"{row['image_id']}.npz", image=np.zeros(EMBEDDING, np.float16))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of the processor")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--side", type=int, default=1024, help="of the canonical images, in pixels")
    parser.add_argument("--repeat", type=int, default=3, help="turns; the best counts")
    options = parser.parse_args()
    set_threads(options.threads)
    model = own_model(seeded_network().state_dict(), "fp32", torch.device("cpu"))
    give_the_same_embedding(model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = write_images(folder, options.images, options.side)
        ways = {"one after the other": one_after_the_other, "mammoflow": as_the_stage}
        times = best_of(options.repeat, {way: partial(work, model, table, folder) for way, work in ways.items()})
    compare(f"{options.images} images of {options.side} px", times, "one after the other", "mammoflow")


if __name__ == "__main__":
    main()
