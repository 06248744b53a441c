"""Embeddings: one encoding for each image, preprocessing and weights, ever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.errors import StudyError
from mammoflow.runtime import progress
from mammoflow.segmentation.batches import Batches
from mammoflow.segmentation.protocol import PromptableModel
from mammoflow.store import Array, ArrayStore, read_image, text_digest

Arrays = dict[str, Array]


def embedding_key(image_digest: str, model_digest: str) -> str:
    """Return the store's key of an image under a model; the model's digest covers weights and preprocessing."""
    return text_digest("embedding", image_digest, model_digest)


def read_canonical(path: Path, size: tuple[int, int]) -> npt.NDArray[np.uint16]:
    """Read a canonical image and hold it to the size (height, width) that its table gives.

    Raises
    ------
    StudyError
        If it is not 16-bit grey of that size.
    """
    image = read_image(path)
    if image.dtype != np.uint16 or image.shape != size:
        raise StudyError(
            f"canonical image {path} is {image.dtype} {image.shape}, expected uint16 {size}; run the image stage again"
        )
    return image.astype(np.uint16, copy=False)


def embeddings(
    model: PromptableModel, images_table: pd.DataFrame, folder: Path, store: ArrayStore, batch: int
) -> Iterator[tuple[str, Arrays]]:
    """Give the embedding of each image, from the store where it is there, else encoded and stored.

    Parameters
    ----------
    model
        The model that encodes.
    images_table
        Table CANONICAL_IMAGES; its order is kept.
    folder
        Folder of the shard, to which `image_file` is relative.
    store
        The store of embeddings. Entries that are absent or damaged are computed and written again.
    batch
        Images encoded together; halved where memory runs out.

    Yields
    ------
    image_id, arrays
        Half-precision arrays (channels, rows, columns) by name.
    """
    batches = Batches(batch, "images")
    waiting: list[tuple[str, str, str, Arrays | None, tuple[Path, tuple[int, int]]]] = []
    absent = 0

    def flush() -> Iterator[tuple[str, Arrays]]:
        sources = [source for *_, arrays, source in waiting if arrays is None]
        fresh = encode_files(model, sources, batches)
        for image_id, key, image, arrays, _ in waiting:
            if arrays is None:
                arrays = next(fresh)
                store.write(key, arrays, {"kind": "image", "model": model.name, "image": image})
            yield image_id, arrays
        waiting.clear()

    rows = images_table[["image_id", "digest", "image_file", "height", "width"]].itertuples(index=False, name=None)
    for image_id, digest, file, height, width in progress(rows, f"embeddings of {model.name}", len(images_table)):
        key = embedding_key(digest, model.digest)
        arrays = store.read(key)
        waiting.append((image_id, key, digest, arrays, (folder / file, (int(height), int(width)))))
        absent += arrays is None
        # entries that were found wait behind those that were not, so the line is kept short
        if absent >= batch or absent == 0 or len(waiting) >= 4 * batch:
            yield from flush()
            absent = 0
    yield from flush()


def encode_files(
    model: PromptableModel, sources: Sequence[tuple[Path, tuple[int, int]]], batches: Batches
) -> Iterator[Arrays]:
    """Read and encode canonical images, given as paths and sizes (height, width), in batches."""

    def encode(part: Sequence[tuple[Path, tuple[int, int]]]) -> list[Arrays]:
        return [dict(arrays) for arrays in model.encode([read_canonical(path, size) for path, size in part])]

    for encoded in batches.run(sources, encode):
        yield from encoded
