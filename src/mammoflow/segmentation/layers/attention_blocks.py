"""The attention blocks of an image encoder: where methods of tuning add, and what is computed again for gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from mammoflow.errors import ConfigError


def find_blocks(network: nn.Module) -> list[nn.Module]:
    """Return the transformer blocks of a network's image encoder, in order; none where it has no attention.

    A block of SAM's ViT or of SAM 2's Hiera has an attention `attn` with the linear layers `qkv` and `proj`, and an
    `mlp`.
    """
    encoder = getattr(network, "image_encoder", None)
    if not isinstance(encoder, nn.Module):
        return []

    def is_block(module: nn.Module) -> bool:
        attention = getattr(module, "attn", None)
        linear = [isinstance(getattr(attention, name, None), nn.Linear) for name in ("qkv", "proj")]
        return all(linear) and isinstance(getattr(module, "mlp", None), nn.Module)

    return [module for module in encoder.modules() if is_block(module)]


def is_global(block: nn.Module) -> bool:
    """Tell whether a block attends over the whole image; the others attend in windows.

    SAM's attention has its own window once it is replaced (`layers/attention.py`), and so has TinyViT's block.
    """
    sides = [getattr(module, name, 0) for module in (block, block.attn) for name in ("window", "window_size")]
    return not any(sides)


def attention_blocks(network: nn.Module, method: str) -> list[nn.Module]:
    """Return the blocks that a method changes.

    Raises
    ------
    ConfigError
        If the image encoder has no attention.
    """
    blocks = find_blocks(network)
    if not blocks:
        raise ConfigError(
            f"tuning method {method} needs attention blocks in the image encoder, and this model has none; expected "
            "decoder or all"
        )
    return blocks


@contextmanager
def checkpointed(network: nn.Module) -> Iterator[None]:
    """Let the encoder's blocks keep only their inputs, and compute them again when a gradient is asked for.

    Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016. Outputs and gradients stay what they are.
    """
    blocks = find_blocks(network)
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for block in blocks:
            del block.forward
