"""Batches of samples: loaded in workers, augmented for training, the same whatever the number of workers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mammoflow.classification.samples import Inputs, Samples
from mammoflow.run.runtime import available_cores
from mammoflow.training.batching import Rows, cut_batches, epoch_batches, halve

MOST_WORKERS = 8
LEAST_WORKERS = 3


@dataclass(frozen=True)
class Batch:
    """Some samples together.

    Attributes
    ----------
    rows
        (n,) rows of the samples.
    inputs
        Tensors (n, ...) by name; empty where a front computes them.
    vectors
        (n, columns) feature vectors, or None.
    labels
        (n,) 1, 0 or NaN.
    """

    rows: Rows
    inputs: Inputs
    vectors: Tensor | None
    labels: Tensor

    def __len__(self) -> int:
        """Return n."""
        return len(self.rows)

    def halves(self) -> list[Batch]:
        """Return two halves, or the batch alone where it has one sample."""
        places = [torch.from_numpy(part) for part in halve(np.arange(len(self)))]
        return [
            Batch(
                self.rows[place.numpy()],
                {name: tensor[place] for name, tensor in self.inputs.items()},
                None if self.vectors is None else self.vectors[place],
                self.labels[place],
            )
            for place in places
        ]


class _Drawn(Dataset[Inputs]):
    """Samples as training sees them in one epoch; what is drawn follows from seed, epoch and row alone."""

    def __init__(self, samples: Samples, seed: int, epoch: int) -> None:
        self.samples, self.seed, self.epoch = samples, seed, epoch

    def __getitem__(self, row: int) -> Inputs:
        generator = np.random.default_rng([self.seed, self.epoch, row])
        return self.samples.drawn(row, generator)


class Loader:
    """Gives batches of samples.

    Parameters
    ----------
    samples
        Lesions or images.
    vectors
        (samples, columns) feature vectors, or None.
    size
        Samples in a batch.
    seed
        Of order and augmentation.
    workers
        Processes that load samples; 0 loads them in this process.
    with_inputs
        Whether the samples' tensors are loaded; False where a front computes them.
    epoch_batches
        Training batches in an epoch; None uses each sample once.
    """

    def __init__(
        self,
        samples: Samples,
        vectors: npt.NDArray[np.float32] | None,
        size: int,
        seed: int,
        workers: int,
        with_inputs: bool = True,
        epoch_batches: int | None = None,
    ) -> None:
        self.samples, self.vectors, self.epoch_batches = samples, vectors, epoch_batches
        self.size, self.seed, self.workers, self.with_inputs = size, seed, workers, with_inputs

    def count(self, rows: Rows) -> int:
        """Return how many training batches some rows give in an epoch."""
        return len(epoch_batches(rows, self.size, self.epoch_batches, None))

    def training(self, rows: Rows, epoch: int) -> Iterator[Batch]:
        """Yield augmented batches in the order of an epoch."""
        order = epoch_batches(rows, self.size, self.epoch_batches, np.random.default_rng([self.seed, epoch]))
        return self._batches(_Drawn(self.samples, self.seed, epoch), order)

    def unlabelled(self, rows: Rows, epoch: int, size: int) -> Iterator[Batch]:
        """Yield augmented batches of another size, for samples without a label."""
        order = cut_batches(rows, size, np.random.default_rng([self.seed, epoch]))
        return self._batches(_Drawn(self.samples, self.seed, epoch), order)

    def plain(self, rows: Rows, fewest: int = 1) -> Iterator[Batch]:
        """Yield batches as they are, in the order of the rows; all have about the same size.

        Parameters
        ----------
        rows
            The samples.
        fewest
            Fewest samples of a batch, as far as there are so many.
        """
        count = min(math.ceil(len(rows) / self.size), max(1, len(rows) // fewest))
        return self._batches(self.samples, np.array_split(rows, count) if count else [])

    def _batches(self, samples: Dataset[Inputs], order: Sequence[Rows]) -> Iterator[Batch]:
        if not self.with_inputs:
            yield from (self._batch(rows, {}) for rows in order)
            return
        loader = DataLoader(
            samples,
            batch_sampler=[rows.tolist() for rows in order],
            num_workers=self.workers,
            collate_fn=stack,
            worker_init_fn=_one_thread,
            generator=torch.Generator(),  # torch's own one is not drawn from
        )
        for rows, inputs in zip(order, loader, strict=True):
            yield self._batch(rows, inputs)

    def _batch(self, rows: Rows, inputs: Inputs) -> Batch:
        vectors = None if self.vectors is None else torch.from_numpy(self.vectors[rows])
        return Batch(rows, inputs, vectors, torch.from_numpy(self.samples.labels[rows]))


def stack(samples: Sequence[Inputs]) -> Inputs:
    """Join the tensors of samples along a new first axis."""
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


def choose_workers(threads: int, device: torch.device) -> int:
    """Return how many processes load samples.

    A GPU is fed by the threads of the job but one, and by at least three processes where the job has the cores. On a
    CPU the network takes all of them, and loading a sample takes less than a hundredth of its time.
    """
    if device.type != "cuda":
        return 0
    return min(max(threads - 1, LEAST_WORKERS), available_cores() - 1, MOST_WORKERS)


def _one_thread(_worker: int) -> None:
    cv2.setNumThreads(0)
