"""Which epoch is kept, and whether patience has ended; only finite figures count."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mammoflow.training.learner import Watched

History = list[dict[str, float]]


def smoothed_figures(history: Sequence[dict[str, float]], watched: Watched, epochs: int) -> list[float]:
    """Return the watched figure after each epoch, averaged over the last ones as `watched` says.

    NaN where no value of them is finite, and while fewer epochs have passed than are averaged or than `epochs`, the
    most that there can be.
    """
    values = [row[watched.figure] for row in history]
    window = max(1, min(watched.smoothing, epochs))
    figures: list[float] = []
    for end in range(1, len(values) + 1):
        finite = [value for value in values[max(0, end - window) : end] if math.isfinite(value)]
        figures.append(math.fsum(finite) / len(finite) if finite and end >= window else math.nan)
    return figures


def choose_epoch(history: Sequence[dict[str, float]], watched: Watched | None, epochs: int) -> int | None:
    """Return the epoch to keep, counted from 1: the first of the best ones, or the last without a watched figure.

    None where no figure is finite.
    """
    if watched is None:
        return len(history) or None
    sign = 1 if watched.direction == "max" else -1
    finite = [
        (sign * value, -epoch)
        for epoch, value in enumerate(smoothed_figures(history, watched, epochs), start=1)
        if math.isfinite(value)
    ]
    return -max(finite)[1] if finite else None


def patience_ended(
    history: Sequence[dict[str, float]], watched: Watched | None, epochs: int, patience: int | None
) -> bool:
    """Tell whether as many epochs as `patience` says have passed since the best one.

    Epochs before the first finite figure count too, but for those that smoothing needs.
    """
    if watched is None or patience is None:
        return False
    best = choose_epoch(history, watched, epochs)
    start = best if best is not None else max(1, min(watched.smoothing, epochs)) - 1
    return len(history) - start >= patience
