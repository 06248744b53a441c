"""A multilayer perceptron: hidden layers with ReLU and dropout on a vector."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mammoflow.config.base import Settings

if TYPE_CHECKING:
    from mammoflow.classification.network import Network

TAKES = "vector"
NETWORK_MB = 10
SAMPLE_MB = 1
WEIGHTS = None


class Options(Settings):
    """Options of the network `perceptron`."""

    hidden: list[Annotated[int, Field(ge=1)]] = Field([256, 64], min_length=1, description="Widths of the layers.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout between the layers.")
    batch_norm: bool = Field(False, description="Batch normalisation between each layer and its ReLU.")


def normalised_pixels(options: Options, image_px: int) -> int | None:
    """Return 1 with batch normalisation, which sees one number of a sample; None without it."""
    return 1 if options.batch_norm else None


def build(options: Options, weights: Path | None, vectors: int) -> Network:
    """Build the network for vectors of `vectors` numbers; its first weights are random."""
    from torch import nn

    from mammoflow.classification.network import VectorNetwork

    widths = [vectors, *options.hidden]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        dropout = [nn.Dropout(options.dropout)] if layers else []
        norm = [nn.BatchNorm1d(after)] if options.batch_norm else []
        layers += [*dropout, nn.Linear(before, after), *norm, nn.ReLU()]
    return VectorNetwork(nn.Sequential(*layers), widths[-1])
