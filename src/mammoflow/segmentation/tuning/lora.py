"""Low-rank updates of the attention's linear layers (Hu et al., LoRA, ICLR 2022, arXiv 2106.09685).

They are parametrisations of the weights and not layers of their own, so they hold for every way in which an attention
uses its weights, and merging them is exact. SAMed (Zhang and Liu, 2023) did this with SAM.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mammoflow.segmentation.layers.attention_blocks import attention_blocks

PARTS = ("q", "k", "v")
"""Parts of the layer `qkv`."""


class LowRank(nn.Module):
    """A weight (out, in) plus alpha / rank times the product of (out, rank) and (rank, in); zero at first.

    Parameters
    ----------
    weight
        The weight.
    rank, alpha
        Rank of the update, and its factor times the rank.
    rows
        (part of out,) rows that are updated; None updates all.
    """

    rows: Tensor | None

    def __init__(self, weight: Tensor, rank: int, alpha: float, rows: Tensor | None = None) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.down = nn.Parameter(weight.new_empty(rank, inputs))
        self.up = nn.Parameter(weight.new_zeros(outputs if rows is None else len(rows), rank))
        self.scale = alpha / rank
        self.register_buffer("rows", rows, persistent=False)
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the updated weight."""
        update = (self.scale * (self.up @ self.down)).to(weight.dtype)
        return weight + update if self.rows is None else weight.index_add(0, self.rows, update)


def insert_lora(network: nn.Module, layers: Sequence[str], rank: int, alpha: float) -> list[nn.Parameter]:
    """Put low-rank updates into the attention of the image encoder and return their parameters.

    Parameters
    ----------
    network
        A network with attention blocks.
    layers
        `qkv` as one layer, or `q`, `k`, `v` each by itself (as in SAMed); `proj`.
    rank, alpha
        The updates' rank, and their factor times the rank.

    Raises
    ------
    ConfigError
        If the image encoder has no attention.
    """
    added: list[nn.Parameter] = []
    for block in attention_blocks(network, "lora"):
        for name in layers:
            layer = getattr(block.attn, "qkv" if name in PARTS else name)
            rows = _rows_of(block.attn, name, len(layer.weight)) if name in PARTS else None
            update = LowRank(layer.weight, rank, alpha, None if rows is None else rows.to(layer.weight.device))
            parametrize.register_parametrization(layer, "weight", update)
            added += [update.down, update.up]
    return added


def _rows_of(attention: Any, part: str, outputs: int) -> Tensor:
    """Return the rows (outputs / 3,) of the layer `qkv` that make queries, keys or values."""
    heads = int(attention.heads) if getattr(attention, "QKV_BY_HEAD", False) else 1
    by_part = torch.arange(outputs).view(heads, 3, -1)
    return by_part[:, PARTS.index(part)].reshape(-1)


@torch.no_grad()
def merge_lora(network: nn.Module) -> None:
    """Add the updates to the weights, in place: the network is then an ordinary one of its architecture."""
    for module in list(network.modules()):
        if isinstance(module, nn.Linear) and parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
