"""Work in batches that shrink when memory runs out, so that a run continues where a fixed batch would end it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol, TypeVar

import torch

from mammoflow.run.memory import is_out_of_memory, release_gpu_memory, too_large

MOST_TOGETHER = 32
"""Items that `auto` handles together at most: 32 images of 4096 tokens fill any GPU, and more only cost memory."""

MEMORY_SHARE = 0.8
"""Part of the free memory that `auto` counts on."""


Item = TypeVar("Item")
Result = TypeVar("Result")


class DeviceMemory(Protocol):
    """What is asked about the memory of a device to size batches."""

    def start(self) -> None:
        """Begin to watch what is used."""

    def used(self) -> int:
        """Return the most bytes that were in use at a time since `start`, beyond those before it."""

    def free(self) -> int:
        """Return how many bytes can still be had."""


class GpuMemory:
    """The memory of the current GPU, as torch's allocator knows it."""

    def __init__(self) -> None:
        self.before = 0

    def start(self) -> None:
        """Begin to watch what is used."""
        torch.cuda.reset_peak_memory_stats()
        self.before = torch.cuda.memory_allocated()

    def used(self) -> int:
        """Return the most bytes that were in use at a time since `start`, beyond those before it."""
        return torch.cuda.max_memory_allocated() - self.before

    def free(self) -> int:
        """Return what the driver has left, and what the allocator holds and does not use."""
        held = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(torch.cuda.mem_get_info()[0]) + held


class Batches:
    """A batch size that is halved, for good, each time memory runs out.

    Parameters
    ----------
    size
        Items handled together at first. `auto` begins with one: on a GPU the memory that it used says how many fit; on
        a CPU it stays with one, because larger batches leave the caches and gain nothing.
    label
        What the items are, for the message that says that the batch was halved.
    memory
        Of the device, for `auto`; None takes the GPU's where there is one.
    """

    def __init__(self, size: int | Literal["auto"], label: str, memory: DeviceMemory | None = None) -> None:
        self.size = 1 if size == "auto" else max(1, size)
        self.label = label
        self._memory = memory
        if memory is None and torch.cuda.is_available():
            self._memory = GpuMemory()
        self._to_measure = size == "auto" and self._memory is not None

    def run(
        self, items: Sequence[Item], compute: Callable[[Sequence[Item]], Result], most: int | None = None
    ) -> Iterator[Result]:
        """Yield `compute` of one batch after the other, in order.

        Parameters
        ----------
        items
            What is computed.
        compute
            Computes some items together.
        most
            Items of these that are handled together at most; None for no other bound than the size.

        Raises
        ------
        NoMemoryError
            If memory runs out with a single item.
        Exception
            What else `compute` raised.
        """
        start = 0
        while start < len(items):
            batch = items[start : start + (self.size if most is None else min(self.size, most))]
            result: Result | None = None
            try:
                result = self._measured(batch, compute) if self._to_measure else compute(batch)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if len(batch) == 1:
                    raise too_large(self.label, error) from error
            if result is None:  # outside the handler, whose traceback keeps the tensors alive
                self._halve(len(batch))
                continue
            yield result
            start += len(batch)

    def _measured(self, batch: Sequence[Item], compute: Callable[[Sequence[Item]], Result]) -> Result:
        """Compute one item and take as many from then on as fit into `MEMORY_SHARE` of what is free."""
        if self._memory is None:
            return compute(batch)
        self._memory.start()
        result = compute(batch)
        self._to_measure = False
        used = self._memory.used()
        if used > 0:  # nothing is used of a GPU that is there while the model lies on the CPU
            self.size = max(1, min(MOST_TOGETHER, int(MEMORY_SHARE * self._memory.free() / used)))
        return result

    def _halve(self, tried: int) -> None:
        self.size = max(1, tried // 2)
        release_gpu_memory()
        print(f"out of memory with {tried} {self.label} together; continuing with {self.size}", file=sys.stderr)
