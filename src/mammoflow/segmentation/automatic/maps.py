"""Probability maps of the images of a shard, on the canonical grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from mammoflow.imaging.canonical import Levels
from mammoflow.run.runtime import progress
from mammoflow.segmentation.automatic.pictures import read_placed
from mammoflow.segmentation.embedding.read_ahead import in_advance
from mammoflow.segmentation.prompted.batches import Batches
from mammoflow.segmentation.protocol.automatic import AutomaticModel

LEVELS = 65535
"""Value of probability 1 in a map's file."""

Row = dict[str, Any]


@dataclass(frozen=True)
class _Placed:
    """An image on the network's grid, with its row of CANONICAL_IMAGES."""

    image: Row
    levels: Levels

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the canonical image."""
        return int(self.image["height"]), int(self.image["width"])

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """(row, column) spacing of the canonical image."""
        return float(self.image["row_spacing_mm"]), float(self.image["column_spacing_mm"])


def probability_maps(
    model: AutomaticModel, images: pd.DataFrame, folder: Path, batch: int | Literal["auto"]
) -> Iterator[tuple[Row, npt.NDArray[np.uint16]]]:
    """Give the probability map of each image; images are read in threads while the device computes.

    Parameters
    ----------
    model
        The automatic model.
    images
        Table CANONICAL_IMAGES; its order is kept.
    folder
        Folder of the shard, to which `image_file` is relative.
    batch
        Images that the network sees together; halved where memory runs out. Images whose inputs differ in size go
        through the network one by one.

    Yields
    ------
    row, levels
        The image's row, and its map (height, width): 0 is probability 0, `LEVELS` is 1.
    """
    batches = Batches(batch, "images")

    def load(image: Row) -> _Placed:
        return _Placed(image, read_placed(folder, image, model.input))

    def compute(items: Sequence[_Placed]) -> list[npt.NDArray[np.float32]]:
        if len({item.levels.shape[:2] for item in items}) == 1:
            return model.probability_maps([item.levels for item in items])
        return [model.probability_maps([item.levels])[0] for item in items]

    rows = [{str(name): value for name, value in row.items()} for row in images.to_dict("records")]
    loaded = in_advance(rows, load, max(1, torch.get_num_threads()), lambda: 2 * batches.size)
    counted = progress(loaded, f"probability maps of {model.name}", len(rows))
    with closing(loaded):
        for group in _groups(counted, batches):
            maps = [values for part in batches.run(group, compute) for values in part]
            for item, values in zip(group, maps, strict=True):
                restored = model.input.restore(values, item.size, item.spacing_mm)
                yield item.image, np.round(np.clip(restored, 0, 1) * LEVELS).astype(np.uint16)


def _groups(loaded: Iterator[_Placed], batches: Batches) -> Iterator[list[_Placed]]:
    """Gather as many images as go through the network together."""
    waiting: list[_Placed] = []
    for item in loaded:
        waiting.append(item)
        if len(waiting) >= batches.size:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
