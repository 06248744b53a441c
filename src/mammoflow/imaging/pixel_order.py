"""Doubts about the order of uncompressed pixels: exchanged bytes, and exchanged Rows and Columns.

Neighbours of a film differ little. Where another order of the same values makes them differ far less, the header states
the wrong one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[Any]
SAMPLE_ROWS = 64
SMOOTHER = 3.0  # times smaller are the differences of neighbours in the right order
LEAST_SIDE = 16  # pixels: smaller pictures say nothing


def order_is_doubtful(words: Words) -> bool:
    """Tell whether words (rows, columns) are smoother with exchanged bytes, or with exchanged rows and columns."""
    if min(words.shape) < LEAST_SIDE:
        return False
    down, across = _roughness(words), _roughness(words.T)
    exchanged = words.shape[0] != words.shape[1] and SMOOTHER * _roughness(words.reshape(words.shape[::-1])) < down
    if exchanged or words.dtype.itemsize == 1:
        return exchanged
    swapped = words.byteswap()
    return SMOOTHER * _roughness(swapped) < down and SMOOTHER * _roughness(swapped.T) < across


def _roughness(words: Words) -> float:
    """Return the mean difference of vertical neighbours in standard deviations of the values, on a sample of rows."""
    step = max(1, (len(words) - 1) // SAMPLE_ROWS)
    upper = words[:-1:step].astype(np.int32)
    lower = words[1::step].astype(np.int32)
    spread = float(upper.std())
    return float(np.abs(upper - lower).mean()) / spread if spread else 0.0
