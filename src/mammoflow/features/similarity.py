"""The similarity of two feature vectors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def cosine_similarity(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """Return the cosine of the angle between two vectors over the entries that both define.

    Parameters
    ----------
    first, second
        Arrays of one shape; they are compared entry by entry. `nan` means that an entry is not defined.

    Returns
    -------
    float
        -1 to 1, or `nan` where no entry is defined in both or one of the vectors is zero.
    """
    both = np.isfinite(first) & np.isfinite(second)
    a, b = first[both], second[both]
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.clip(np.dot(a, b) / lengths, -1.0, 1.0)) if lengths > 0 else float("nan")
