"""Work in batches that shrink when memory runs out, so that a run goes on where a fixed batch would end it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # torch's CPU allocator and some CUDA libraries raise a plain RuntimeError
    texts = ("out of memory", "not enough memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in texts)


class Batches:
    """A batch size that is halved, for good, each time memory runs out.

    Parameters
    ----------
    size
        Items handled together at first.
    label
        What the items are, for the message that says that the batch was halved.
    """

    def __init__(self, size: int, label: str) -> None:
        self.size = max(1, size)
        self.label = label

    def run(self, items: Sequence[Item], compute: Callable[[Sequence[Item]], Result]) -> Iterator[Result]:
        """Yield `compute` of one batch after the other, in order.

        Raises
        ------
        Exception
            What `compute` raised, if it was not for want of memory or the batch held a single item.
        """
        start = 0
        while start < len(items):
            batch = items[start : start + self.size]
            result: Result | None = None
            try:
                result = compute(batch)
            except Exception as error:
                if len(batch) == 1 or not is_out_of_memory(error):
                    raise
            if result is None:  # outside the handler, whose traceback keeps the tensors alive
                self._halve(len(batch))
                continue
            yield result
            start += len(batch)

    def _halve(self, tried: int) -> None:
        self.size = max(1, tried // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        print(f"out of memory with {tried} {self.label} together; going on with {self.size}", file=sys.stderr)
