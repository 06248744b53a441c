"""Low-rank updates of the attention's linear layers (Hu et al., LoRA, ICLR 2022, arXiv 2106.09685).

They are parametrisations of the weights and not layers of their own, so they hold for every way in which an attention
uses its weights, and merging them is exact. SAMed (Zhang and Liu, 2023) did this with SAM.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mammoflow.segmentation.layers.attention_blocks import attention_blocks


class LowRank(nn.Module):
    """A weight (out, in) plus alpha / rank times the product of (out, rank) and (rank, in); zero at first."""

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.down = nn.Parameter(weight.new_empty(rank, inputs))
        self.up = nn.Parameter(weight.new_zeros(outputs, rank))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the updated weight."""
        return weight + self.scale * (self.up @ self.down)


def insert_lora(network: nn.Module, layers: Sequence[str], rank: int, alpha: float) -> list[nn.Parameter]:
    """Put low-rank updates into the attention of the image encoder and return their parameters.

    Parameters
    ----------
    network
        A network with attention blocks.
    layers
        `qkv`, `proj` or both.
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
            layer = getattr(block.attn, name)
            update = LowRank(layer.weight, rank, alpha)
            parametrize.register_parametrization(layer, "weight", update)
            added += [update.down, update.up]
    return added


@torch.no_grad()
def merge_lora(network: nn.Module) -> None:
    """Add the updates to the weights, in place: the network is then an ordinary one of its architecture."""
    for module in list(network.modules()):
        if isinstance(module, nn.Linear) and parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
