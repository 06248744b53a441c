"""Embeddings: one encoding for each image, preprocessing and weights, ever."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor

from mammoflow.imaging.canonical import levels_digest, read_levels
from mammoflow.run.runtime import progress
from mammoflow.segmentation.embedding.read_ahead import held_back, in_advance
from mammoflow.segmentation.prompted.batches import Batches
from mammoflow.segmentation.protocol.prediction import Encoding
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.storage.arrays import ArrayStore
from mammoflow.storage.files import Array, text_digest

Arrays = dict[str, Array]


def embedding_key(image_digest: str, model_digest: str) -> str:
    """Return the store's key of an image under a model.

    Parameters
    ----------
    image_digest
        Of the picture that the model sees: the grey levels, or the colours.
    model_digest
        Covers weights and preprocessing.
    """
    return text_digest("embedding", image_digest, model_digest)


@dataclass(frozen=True)
class _Loaded:
    """One image on its way: what the store had of it, or the network's input."""

    image_id: str
    key: str
    digest: str
    stored: Arrays | None
    inputs: Tensor | None


def embeddings(
    model: PromptableModel,
    images_table: pd.DataFrame,
    folder: Path,
    store: ArrayStore,
    batch: int | Literal["auto"],
) -> Iterator[tuple[str, Arrays]]:
    """Give the embedding of each image, from the store where it is there, else encoded and stored.

    Images and entries are read in threads while the device computes; a GPU has its next batch before the last one is
    taken from it and written.

    Parameters
    ----------
    model
        The model that encodes; its `colour` says what it sees of pictures in colour.
    images_table
        Table CANONICAL_IMAGES; its order is kept.
    folder
        Folder of the shard, to which `image_file` is relative.
    store
        The store of embeddings. Entries that are absent or damaged are computed and written again.
    batch
        Images encoded together (`Batches`); halved where memory runs out.

    Yields
    ------
    image_id, arrays
        Half-precision arrays (channels, rows, columns) by name.

    Raises
    ------
    StudyError
        If a picture is missing or does not have the size of its table, or the model sees colours and the image stage
        did not keep them.
    """
    batches = Batches(batch, "images")
    on_gpu = model.device.type == "cuda"

    def load(row: Mapping[Any, Any]) -> _Loaded:
        image_id, digest = str(row["image_id"]), levels_digest(folder, row, model.colour)
        key = embedding_key(digest, model.embedding_digest)
        stored = store.read(key)
        if stored is not None:
            return _Loaded(image_id, key, digest, stored, None)
        inputs = model.preprocess(read_levels(folder, row, model.colour))
        return _Loaded(image_id, key, digest, None, inputs.pin_memory() if on_gpu else inputs)

    def write(entry: _Loaded, arrays: Arrays) -> None:
        store.write(entry.key, arrays, {"kind": "image", "model": model.name, "image": entry.digest})

    def encode(group: list[_Loaded]) -> tuple[list[_Loaded], list[Encoding]]:
        inputs = [entry.inputs for entry in group if entry.inputs is not None]
        return group, list(batches.run(inputs, model.start_encoding))

    threads = max(1, torch.get_num_threads())
    loaded = in_advance(images_table.to_dict("records"), load, threads, lambda: 2 * batches.size)
    counted = progress(loaded, f"embeddings of {model.name}", len(images_table))
    with closing(loaded), ThreadPoolExecutor(threads, thread_name_prefix="write") as writers:
        for group, encodings in held_back(map(encode, _groups(counted, batches)), 1 if on_gpu else 0):
            absent = [entry for entry in group if entry.stored is None]
            fresh: list[Arrays] = [dict(arrays) for encoding in encodings for arrays in encoding.arrays()]
            list(writers.map(write, absent, fresh))  # the list raises what a writer raised
            encoded = iter(fresh)
            for entry in group:
                yield entry.image_id, entry.stored if entry.stored is not None else next(encoded)


def _groups(loaded: Iterable[_Loaded], batches: Batches) -> Iterator[list[_Loaded]]:
    """Gather images until a batch of them is to be encoded."""
    waiting: list[_Loaded] = []
    absent = 0
    for entry in loaded:
        waiting.append(entry)
        absent += entry.stored is None
        # entries that were found wait behind those that were not, so the line is kept short
        if absent >= batches.size or absent == 0 or len(waiting) >= 4 * batches.size:
            yield waiting
            waiting, absent = [], 0
    if waiting:
        yield waiting
