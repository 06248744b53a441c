"""Rows of a data set in shuffled batches, and labelled batches in pairs with unlabelled ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mammoflow.errors import StudyError
from mammoflow.training.learner import Stream

Rows = npt.NDArray[np.intp]


def cut_batches(rows: Rows, size: int, generator: np.random.Generator | None) -> list[Rows]:
    """Cut rows into batches, shuffled where a generator is given; a last batch of one joins the one before.

    Batch normalisation has no deviation over a single sample.
    """
    order = rows if generator is None else generator.permutation(rows)
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


def epoch_batches(rows: Rows, size: int, number: int | None, generator: np.random.Generator | None) -> list[Rows]:
    """Cut rows into the batches of an epoch: each row once, or as often as a number of batches needs.

    Parameters
    ----------
    rows
        Rows of the samples.
    size
        Rows in a batch.
    number
        Batches of the epoch; None uses each row once.
    generator
        Shuffles; repeated rows come in another order each time. None keeps the order.
    """
    if number is None or not len(rows):
        return cut_batches(rows, size, generator)
    times = -(-number * size // len(rows))
    orders = [rows if generator is None else generator.permutation(rows) for _ in range(times)]
    order = np.concatenate(orders)[: number * size]
    return [order[start : start + size] for start in range(0, len(order), size)]


def halve(rows: Rows) -> list[Rows]:
    """Return two halves of some rows, or the rows alone where there is one."""
    middle = (len(rows) + 1) // 2
    return [rows[:middle], rows[middle:]] if len(rows) > 1 else [rows]


def pair_batches(labelled: Iterable[Any], unlabelled: Stream, epoch: int) -> Iterator[tuple[Any, Any]]:
    """Yield each labelled batch of an epoch with an unlabelled one, which start again where they end first.

    Raises
    ------
    StudyError
        If there is no unlabelled batch.
    """
    others = iter(unlabelled(epoch))
    for batch in labelled:
        other = next(others, None)
        if other is None:
            others = iter(unlabelled(epoch))
            other = next(others, None)
        if other is None:
            raise StudyError(
                "there is no unlabelled sample to train on; set few_labels.fraction below 1, or cohort.unlabelled to "
                "keep, or take the trainer supervised"
            )
        yield batch, other
