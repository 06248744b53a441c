"""Steps that survive memory running out: a batch is halved, and its parts are computed one after the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from mammoflow.run.memory import NoMemoryError, is_out_of_memory, no_memory, release_gpu_memory, too_large
from mammoflow.training.learner import Learner

Result = TypeVar("Result")


class Halving:
    """Computes batches in parts that are halved, for good, each time memory runs out.

    Parameters
    ----------
    learner
        Knows how its batches are split.

    Attributes
    ----------
    times
        How often a whole batch is halved by now.
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.times = 0

    def run(self, batch: Any, compute: Callable[[Any], Result]) -> Iterator[Result]:
        """Yield `compute` of one part of a batch after the other; of the batch itself while memory suffices.

        Raises
        ------
        NoMemoryError
            If memory runs out with a part that cannot be split.
        Exception
            What else `compute` raised.
        """
        waiting: list[tuple[Any, int]] = [(batch, 0)]
        while waiting:
            part, halved = waiting.pop(0)
            halves = self.learner.split(part) if halved < self.times else [part]
            if len(halves) > 1:
                waiting[:0] = [(half, halved + 1) for half in halves]
                continue
            result: Result | None = None
            try:
                result = compute(part)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if len(self.learner.split(part)) < 2:
                    raise too_large(self.learner.items, error) from error
            if result is None:  # outside the handler, whose traceback keeps the tensors alive
                self._halve(part, halved)
                waiting.insert(0, (part, halved))
                continue
            yield result

    def _halve(self, part: Any, halved: int) -> None:
        """Halve once more from now on."""
        self.times = halved + 1
        release_gpu_memory()
        size = self.learner.size(part)
        print(
            f"out of memory with {size} {self.learner.items} together; continuing with {(size + 1) // 2}",
            file=sys.stderr,
        )


@contextmanager
def explained_memory(label: str) -> Iterator[None]:
    """Turn an error about memory that no halving has caught into one that says what to do.

    Steps of the optimiser and passes for batch normalisation are not halved: a part of them has changed tensors
    already when memory runs out.

    Parameters
    ----------
    label
        What is trained.

    Raises
    ------
    NoMemoryError
        If memory runs out.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, NoMemoryError) or not is_out_of_memory(error):
            raise
        raise no_memory(f"training {label}", error) from error
