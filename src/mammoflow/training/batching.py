"""Rows of a data set in shuffled batches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.intp]


def cut_batches(rows: Rows, size: int, generator: np.random.Generator | None) -> list[Rows]:
    """Cut rows into batches, shuffled where a generator is given; a last batch of one joins the one before.

    Batch normalisation has no deviation over a single sample.
    """
    order = rows if generator is None else generator.permutation(rows)
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [np.concatenate(parts[-2:])]
    return parts


def halve(rows: Rows) -> list[Rows]:
    """Return two halves of some rows, or the rows alone where there is one."""
    middle = (len(rows) + 1) // 2
    return [rows[:middle], rows[middle:]] if len(rows) > 1 else [rows]
