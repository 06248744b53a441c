"""How fast threads of the processor feed an encoder: images read and prepared, and embeddings written, in one run.

A GPU waits for the processor if it encodes more images in a second than the processor reads and writes. This benchmark
writes canonical images of blur and grain, and runs what the segment stage does around its encoder: reading and
preprocessing in threads ahead of the encoder, and writing the embeddings to the store. The encoder itself takes no
time, so the result is the fastest encoder that these threads keep busy. The rival is the same work in one thread, one
image after the other, as `set_image` of segment-anything in a loop does it.
Run: `python benchmarks/bench_feeding.py [--threads N] [--images N] [--side N]`; it prints one JSON line a model.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from segment_anything import sam_model_registry
from segment_anything.utils.transforms import ResizeLongestSide

from mammoflow.imaging.canonical import read_canonical
from mammoflow.run.runtime import set_threads
from mammoflow.segmentation.embedding.embeddings import embeddings
from mammoflow.segmentation.loading import build_model
from mammoflow.segmentation.networks.rgb_input import to_rgb
from mammoflow.segmentation.protocol.prediction import Embedding
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.storage.arrays import ArrayStore

EMBEDDING = (256, 64, 64)  # of SAM and MedSAM


def write_images(folder: Path, count: int, side: int) -> pd.DataFrame:
    """Write canonical images (side, side) and return the columns of their table that the stage reads."""
    random = np.random.default_rng(0)
    tissue = cv2.resize(random.random((16, 16), dtype=np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    (folder / "image").mkdir()
    rows = []
    for number in range(count):
        grey = np.clip(tissue * 50000 + random.integers(0, 3000, (side, side)), 0, 65535).astype(np.uint16)
        name = f"image/{number}.png"
        cv2.imwrite(str(folder / name), grey)
        rows.append({"image_id": str(number), "image_file": name, "height": side, "width": side, "digest": str(number)})
    return pd.DataFrame(rows)


def without_encoder(model: PromptableModel) -> PromptableModel:
    """Let a model give the same embedding for every image, at once."""

    def embed(inputs: torch.Tensor) -> Embedding:
        return {"image": torch.zeros(len(inputs), *EMBEDDING)}

    model.embed = embed  # type: ignore[method-assign]
    return model


def seconds(work: Callable[[Path], object]) -> float:
    """Return the wall-clock seconds of some work with an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        work(Path(folder))
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of the processor")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--side", type=int, default=1024, help="of the canonical images, in pixels")
    options = parser.parse_args()
    set_threads(options.threads)
    torch.manual_seed(0)
    model = without_encoder(
        build_model("sam_vit_b", sam_model_registry["vit_b"]().state_dict(), "random", torch.device("cpu"))
    )
    resize = ResizeLongestSide(1024)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = write_images(folder, options.images, options.side)

        def ours(output: Path) -> None:
            for _ in embeddings(model, table, folder, ArrayStore(output), 8):
                pass

        def one_after_the_other(output: Path) -> None:
            for row in table.to_dict("records"):
                image = resize.apply_image(to_rgb(read_canonical(folder / row["image_file"], (options.side,) * 2)))
                tensor = torch.as_tensor(image).permute(2, 0, 1).contiguous()[None].float()
                mean, deviation = model.network.pixel_mean, model.network.pixel_std
                torch.nn.functional.pad((tensor - mean) / deviation, (0, 0, 0, 0))
                np.savez(output / f"{row['image_id']}.npz", image=np.zeros(EMBEDDING, np.float16))

        own, rival = min(seconds(ours) for _ in range(3)), min(seconds(one_after_the_other) for _ in range(3))
    record = {"model": "sam_vit_b", "threads": options.threads, "side_px": options.side, "images": options.images}
    record |= {"images_per_s": round(options.images / own, 1), "one_after_the_other": round(options.images / rival, 1)}
    print(json.dumps(record | {"ratio": round(rival / own, 2), "load_of_the_last_minute": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
