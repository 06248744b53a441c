"""No layer of its own: with the last layer of the head this is a logistic regression on the standardised vector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mammoflow.config.members import NoOptions

if TYPE_CHECKING:
    from mammoflow.classification.network import Network

TAKES = "vector"
NETWORK_MB = 10
SAMPLE_MB = 1
WEIGHTS = None


def build(options: NoOptions, weights: Path | None, vectors: int) -> Network:
    """Return the `vectors` numbers of a vector as its features."""
    from torch import nn

    from mammoflow.classification.network import VectorNetwork

    return VectorNetwork(nn.Identity(), vectors)
