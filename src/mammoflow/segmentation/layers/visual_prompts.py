"""Visual prompts of an image encoder: learned tokens that every layer's attention sees as further keys and values.

Jia et al., Visual Prompt Tuning, ECCV 2022 (the deep form): each layer has its own prompts before its tokens, and what
the layer makes of them is thrown away. So they act on the tokens as keys and values alone, and nothing else of them is
computed here. The result is that of prepending. The same prompts are in every window of a layer; the relative position
of a prompt has no bias.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MethodType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.errors import ConfigError, WeightsError
from mammoflow.segmentation.layers.attention_blocks import attention_blocks, find_blocks, is_global

MARK = ".visual_prompts."
"""Part of the names of the prompts among the weights."""

PATCH_NUMBERS = 3 * 16 * 16
"""Numbers of a colour patch of 16 x 16 pixels, which the range of the initial values is taken from."""


class VisualPrompts(nn.Module):
    """The prompts of one layer.

    Parameters
    ----------
    count
        Number of prompts.
    channels
        Channels of the tokens that the block takes.
    norm
        The layer norm through which the block's tokens reach its attention; it stays the block's own.
    """

    def __init__(self, count: int, channels: int, norm: nn.Module) -> None:
        super().__init__()
        limit = math.sqrt(6 / (PATCH_NUMBERS + channels))  # the published range
        self.tokens = nn.Parameter(torch.empty(count, channels).uniform_(-limit, limit))
        self._norm = (norm,)  # in a tuple, so that its weights are not also these

    def forward(self) -> Tensor:
        """Return the normalised prompts (count, channels)."""
        normalised: Tensor = self._norm[0](self.tokens)
        return normalised


def prompted_hiera_attention(attention: Any, tokens: Tensor) -> Tensor:
    """Take the place of the method `forward` of the attention of SAM 2's Hiera, with prompts.

    Parameters
    ----------
    attention
        The module, with `visual_prompts`.
    tokens
        (windows, rows, columns, channels).

    Returns
    -------
    Tensor
        (windows, rows, columns, channels), where the queries are pooled with fewer rows and columns.
    """
    count, rows, columns, _ = tokens.shape
    heads = attention.num_heads

    def parts(mixed: Tensor) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = mixed.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return found

    query, key, value = parts(attention.qkv(tokens).flatten(1, 2))
    _, prompt_key, prompt_value = parts(attention.qkv(attention.visual_prompts())[None])
    key, value = with_prompts(key, prompt_key[0]), with_prompts(value, prompt_value[0])
    if attention.q_pool is not None:  # the prompts have no queries, so pooling does not reach them
        pooled = attention.q_pool(query.transpose(2, 3).reshape(count, -1, rows, columns))
        rows, columns = pooled.shape[2:]
        query = pooled.view(count, heads, -1, rows * columns).transpose(2, 3)
    attended = functional.scaled_dot_product_attention(query, key, value)
    result: Tensor = attention.proj(attended.transpose(1, 2).reshape(count, rows, columns, -1))
    return result


def with_prompts(values: Tensor, prompts: Tensor) -> Tensor:
    """Append keys or values of prompts (heads, count, channels) to those of (windows, heads, tokens, channels)."""
    same = prompts.to(values.dtype).expand(values.shape[0], -1, -1, -1)
    return torch.cat([values, same], dim=2)


def insert_visual_prompts(
    network: nn.Module, count: int, layers: Literal["all", "global_only"] = "all"
) -> list[nn.Parameter]:
    """Give the attention of the image encoder's blocks visual prompts and return these.

    The names of the other weights stay; the prompts of a block are `attn.visual_prompts.tokens`. Prompts of this
    number that are there already, since the weights carry them, stay as they are.

    Parameters
    ----------
    network
        A network with attention blocks.
    count
        Prompts of each layer.
    layers
        `all`, or `global_only`: those with attention over the whole image.

    Raises
    ------
    ConfigError
        If the image encoder has no attention, or none over the whole image where that is asked for, or has prompts of
        another number or in other layers.
    """
    blocks = [block for block in attention_blocks(network, "vpt") if layers == "all" or is_global(block)]
    if not blocks:
        raise ConfigError(
            "prompted_layers is global_only, but no block of this image encoder attends over the whole image; expected "
            "all"
        )
    there = {id(block): _tokens(block) for block in find_blocks(network) if _tokens(block) is not None}
    if there:
        found = {len(tokens) for tokens in there.values() if tokens is not None}
        if found != {count} or set(there) != {id(block) for block in blocks}:
            raise ConfigError(
                f"visual_prompts is {count} in {len(blocks)} layers, but the model to start from has "
                f"{sorted(found)} in {len(there)}; expected the same, which trains them further, or another method"
            )
        return [tokens for tokens in there.values() if tokens is not None]
    return [_give_prompts(block, count) for block in blocks]


def _tokens(block: nn.Module) -> nn.Parameter | None:
    prompts = getattr(block.attn, "visual_prompts", None)
    return prompts.tokens if isinstance(prompts, VisualPrompts) else None


def _give_prompts(block: nn.Module, count: int) -> nn.Parameter:
    """Give one block prompts, and return them."""
    weight: Tensor = block.attn.qkv.weight  # type: ignore[assignment, union-attr]
    # TinyViT's attention has its own norm; in the others it is the block's
    norm: nn.Module = getattr(block.attn, "norm", None) or block.norm1  # type: ignore[assignment]
    prompts = VisualPrompts(count, int(weight.shape[1]), norm).to(weight.device)
    if hasattr(block, "q_stride"):  # of Hiera, whose attention knows no prompts
        block.attn.forward = MethodType(prompted_hiera_attention, block.attn)  # type: ignore[union-attr, assignment]
    elif not hasattr(block.attn, "visual_prompts"):
        raise ConfigError(f"visual prompts are not known in {type(block.attn).__name__}; expected another method")
    block.attn.visual_prompts = prompts  # type: ignore[union-attr, assignment]
    return prompts.tokens


def load_visual_prompts(network: nn.Module, prompts: Mapping[str, Tensor]) -> None:
    """Build the visual prompts of a weights file into a network, by the names and shapes of their weights.

    Raises
    ------
    ConfigError
        If the image encoder has no attention.
    WeightsError
        If the weights are not those of prompts of this network.
    """
    wanted = {name: tensor for name, tensor in prompts.items() if MARK in name}
    if not wanted:
        return
    names = {id(module): name for name, module in network.named_modules()}
    for block in attention_blocks(network, "vpt"):
        name = f"{names[id(block)]}.attn{MARK}tokens"
        if name not in wanted:
            continue
        tokens, channels = wanted.pop(name), int(block.attn.qkv.weight.shape[1])  # type: ignore[union-attr, index, arg-type]
        if tokens.ndim != 2 or tokens.shape[1] != channels:
            raise WeightsError(
                f"visual prompts {name} are {tuple(tokens.shape)}, expected (prompts, {channels}); the weights are for "
                "another network"
            )
        with torch.no_grad():
            _give_prompts(block, len(tokens)).copy_(tokens)
    if wanted:
        raise WeightsError(f"visual prompts do not fit the network: it has no {sorted(wanted)[:3]}")
