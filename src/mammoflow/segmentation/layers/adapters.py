"""Bottleneck adapters after attention and MLP of each block of an image encoder.

Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019 (two adapters a block, each with a residual);
Wu et al., Medical SAM Adapter, 2023, put such into SAM's encoder.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from mammoflow.errors import ConfigError, WeightsError
from mammoflow.segmentation.layers.attention_blocks import attention_blocks

MARK = ".adapter."
"""Part of the names of an adapter's weights."""


class Adapter(nn.Module):
    """x + up(gelu(down(x))) over the last axis; the identity at first, as `up` starts at zero."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(channels, width)
        self.up = nn.Linear(width, channels)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, values: Tensor) -> Tensor:
        """Return values (..., channels) with what the bottleneck adds."""
        added: Tensor = self.up(functional.gelu(self.down(values)))
        return values + added


def _adapt(module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    adapter: nn.Module = module.adapter  # type: ignore[assignment]
    adapted: Tensor = adapter(output)
    return adapted


def adapter_width(network: nn.Module) -> int | None:
    """Return the width of the bottlenecks of a network's adapters; None where it has none."""
    return next((module.down.out_features for module in network.modules() if isinstance(module, Adapter)), None)


def insert_adapters(network: nn.Module, width: int) -> list[nn.Parameter]:
    """Put adapters behind attention and MLP of each block of the image encoder and return their parameters.

    The names of the other weights stay; an adapter is the child `adapter` of the attention or MLP that it follows.
    Adapters of this width that are there already, since the weights carry them, stay as they are.

    Parameters
    ----------
    network
        A network with attention blocks.
    width
        Width of the bottlenecks.

    Raises
    ------
    ConfigError
        If the image encoder has no attention, or has adapters of another width.
    """
    blocks, there = attention_blocks(network, "adapters"), adapter_width(network)
    if there not in (None, width):
        raise ConfigError(
            f"adapter_width is {width}, but the model to start from has adapters of width {there}; expected "
            f"{there}, which trains them further, or another method"
        )
    if there is not None:
        return [item for name, item in network.named_parameters() if MARK in name]
    added: list[nn.Parameter] = []
    for block in blocks:
        weight = block.attn.proj.weight  # type: ignore[union-attr]
        for module in (block.attn, block.mlp):
            adapter = Adapter(int(weight.shape[0]), width).to(weight.device)  # type: ignore[index, arg-type]
            module.adapter = adapter  # type: ignore[union-attr, assignment]
            module.register_forward_hook(_adapt)  # type: ignore[union-attr, operator]
            added += list(adapter.parameters())
    return added


def split_adapters(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Part weights by name into those of the network and those of adapters."""
    adapters = {name: tensor for name, tensor in state.items() if MARK in name}
    return {name: tensor for name, tensor in state.items() if name not in adapters}, adapters


def load_adapters(network: nn.Module, width: int, adapters: dict[str, Tensor]) -> None:
    """Build the adapters of a weights file into a network and load their weights.

    Raises
    ------
    ConfigError
        If the image encoder has no attention.
    WeightsError
        If the weights are not those of adapters of this width in this network.
    """
    insert_adapters(network, width)
    adapter_names = {name for name in network.state_dict() if MARK in name}
    if adapter_names != set(adapters):
        different = sorted(adapter_names ^ set(adapters))
        raise WeightsError(f"weights of adapters do not fit the network: {different[:3]} are on one side only")
    try:
        network.load_state_dict(adapters, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"weights of adapters do not fit the network: {error}") from error
