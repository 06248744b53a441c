"""Embeddings for training: read from the store, or computed anew so that the encoder can learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import SystemRandom
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch.utils.checkpoint import checkpoint

from mammoflow.imaging.canonical import read_levels
from mammoflow.segmentation.embedding.embeddings import embeddings
from mammoflow.segmentation.protocol.prediction import Embedding
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.storage.arrays import ArrayStore
from mammoflow.storage.files import Array
from mammoflow.training.batch_norm import may_recompute
from mammoflow.training.batching import Rows

CACHE_BYTES = 1_500_000_000
"""Memory for embeddings or network inputs; what does not fit is read again each time."""

IMAGES_AT_ONCE = 4
"""Images whose activations are kept at the same time while an encoder learns; those of others are recomputed."""

Value = TypeVar("Value")


class BoundedCache(Generic[Value]):
    """Keeps what was loaded until a limit of bytes is reached, then passes on what it loads without keeping it."""

    def __init__(self, load: Callable[[int], Value], size_of: Callable[[Value], int], limit: int = CACHE_BYTES) -> None:
        self.load, self.size_of, self.limit, self.left = load, size_of, limit, limit
        self.values: dict[int, Value] = {}

    def offer(self, key: int, value: Value) -> None:
        """Keep a value if there is room."""
        size = self.size_of(value)
        if key not in self.values and size <= self.left:
            self.values[key] = value
            self.left -= size

    def get(self, key: int) -> Value:
        """Return the value of a key, loading it where it was not kept."""
        if key in self.values:
            return self.values[key]
        value = self.load(key)
        self.offer(key, value)
        return value

    def clear(self) -> None:
        """Forget everything and have all the room again."""
        self.values.clear()
        self.left = self.limit


class EmbeddingSource:
    """Embeddings of images by row, from the store, kept in memory as far as there is room."""

    def __init__(self, model: PromptableModel, images: pd.DataFrame, store: ArrayStore, batch: int) -> None:
        self.model, self.images, self.store, self.batch = model, images, store, batch
        self.cache: BoundedCache[dict[str, Array]] = BoundedCache(
            self._load, lambda arrays: sum(array.nbytes for array in arrays.values())
        )

    def _load(self, image: int) -> dict[str, Array]:
        row = self.images.iloc[[image]]
        return next(embeddings(self.model, row, Path(str(row["folder"].iloc[0])), self.store, 1))[1]

    def all(self) -> Iterator[tuple[int, dict[str, Array]]]:
        """Go through all images once, encoding together what the store lacks.

        Each folder is entered at an image of its own for each process. Trainings that start at the same time, such as
        those of several folds, then find most of each other's embeddings in the store.
        """
        row_of = {image_id: row for row, image_id in enumerate(self.images["image_id"])}
        for folder, table in self.images.groupby("folder", sort=True):
            start = SystemRandom().randrange(len(table))
            entered = pd.concat([table.iloc[start:], table.iloc[:start]])
            for image_id, arrays in embeddings(self.model, entered, Path(str(folder)), self.store, self.batch):
                self.cache.offer(row_of[image_id], arrays)
                yield row_of[image_id], arrays

    def embed(self, images: Rows) -> Embedding:
        """Return the embeddings of some images, one after the other, on the model's device."""
        loaded = [self.model.load_embedding(self.cache.get(int(image))) for image in images]
        return {name: torch.cat([each[name] for each in loaded]) for name in loaded[0]}


class EncoderSource:
    """Embeddings computed anew from the images, so that the encoder can learn.

    Parameters
    ----------
    model
        The model that encodes.
    images
        Rows of CANONICAL_IMAGES with the folder of their shard.
    recompute
        Keep the activations of a few images at a time and compute those of the others again for the gradient. A network
        with batch normalisation is not passed through twice in any case.
    """

    def __init__(self, model: PromptableModel, images: pd.DataFrame, recompute: bool = True) -> None:
        self.model, self.images = model, images
        self.recompute = recompute and may_recompute(model.network)
        self.cache: BoundedCache[npt.NDArray[np.float32]] = BoundedCache(self._load, lambda array: array.nbytes)

    def _load(self, image: int) -> npt.NDArray[np.float32]:
        row = self.images.iloc[image].to_dict()
        return self.model.preprocess(read_levels(Path(row["folder"]), row, self.model.colour)).numpy()

    def embed(self, images: Rows) -> Embedding:
        """Encode some images; differentiable, with the activations of a few images in memory at a time."""
        inputs = torch.from_numpy(np.stack([self.cache.get(int(image)) for image in images])).to(self.model.device)
        if not (self.recompute and torch.is_grad_enabled()):
            return self.model.embed(inputs)
        embedded = [
            checkpoint(self.model.embed, images_at_once, use_reentrant=False)
            for images_at_once in inputs.split(IMAGES_AT_ONCE)
        ]
        return {name: torch.cat([each[name] for each in embedded]) for name in embedded[0]}
