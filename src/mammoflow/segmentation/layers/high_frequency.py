"""What the high frequencies of the image say is added to the tokens before each block of an image encoder.

Liu et al., Explicit Visual Prompting, CVPR 2023; Chen et al., SAM-Adapter, ICCV workshops 2023, put it into SAM's
encoder. A patch embedding of the high-pass image and a linear map of the tokens are summed, at a 32nd of the channels.
Each block has a linear layer of its own on this sum, and all blocks of one width share the layer that leads back to
the channels. It starts at zero here, so that the network begins as the frozen one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from mammoflow.segmentation.layers.attention_blocks import attention_blocks

MARK = ".high_frequency."
"""Part of the names of these weights."""

REDUCTION = 32
"""Channels of a block for each channel of what is added, as published."""

LOW_PASS_SHARE = 0.25
"""Share of the spectrum, around frequency 0, that is removed from the image, as published."""


def high_pass(images: Tensor) -> Tensor:
    """Return images (N, C, rows, columns) without their low frequencies, as absolute values."""
    rows, columns = images.shape[-2:]
    half = int((rows * columns * LOW_PASS_SHARE) ** 0.5 // 2)
    spectrum = torch.fft.fftshift(torch.fft.fft2(images.float()), dim=(-2, -1))
    kept = torch.ones(rows, columns, device=images.device)
    kept[rows // 2 - half : rows // 2 + half, columns // 2 - half : columns // 2 + half] = 0
    result: Tensor = torch.fft.ifft2(torch.fft.ifftshift(spectrum * kept, dim=(-2, -1))).real.abs()
    return result


class Stage(nn.Module):
    """What is added in consecutive blocks with one grid and one width.

    Parameters
    ----------
    channels
        Channels of the tokens.
    patch
        Side of a token in pixels of the image.
    blocks
        Number of blocks.
    """

    def __init__(self, channels: int, patch: int, blocks: int) -> None:
        super().__init__()
        width = max(1, channels // REDUCTION)
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.tokens = nn.Linear(channels, width)
        self.of_block = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.up = nn.Linear(width, channels)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)


class HighFrequency(nn.Module):
    """All stages of an encoder; hooks on the encoder and its blocks call it.

    Parameters
    ----------
    stages
        Of consecutive blocks.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.image: Tensor | None = None
        self.features: Tensor | None = None

    def see(self, _encoder: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Take the image that the encoder is given."""
        self.image = high_pass(inputs[0])

    def add(self, stage: int, place: int, channels_first: bool, tokens: Tensor) -> Tensor:
        """Return the tokens of a block, in the order in which it takes them, with what is added.

        Parameters
        ----------
        stage, place
            The block's stage, and its place there.
        channels_first
            Whether the tokens are (images, channels, rows, columns); else (images, rows, columns, channels).
        tokens
            The input of the block.
        """
        of: Any = self.stages[stage]
        last = tokens.permute(0, 2, 3, 1) if channels_first else tokens
        if place == 0:
            self.features = of.patches(self.image).permute(0, 2, 3, 1) + of.tokens(last)
        added: Tensor = of.up(functional.gelu(of.of_block[place](self.features)))
        return tokens + (added.permute(0, 3, 1, 2) if channels_first else added)


def insert_high_frequency(network: Any) -> list[nn.Parameter]:
    """Let the high frequencies of the image be added before each block and return the parameters of that.

    They are the child `high_frequency` of the image encoder; the names of the other weights stay. Those that are there
    already, since the weights carry them, stay as they are.

    Parameters
    ----------
    network
        A network with attention blocks.

    Raises
    ------
    ConfigError
        If the image encoder has no attention.
    """
    blocks, encoder = attention_blocks(network, "sam_adapter"), network.image_encoder
    if hasattr(encoder, "high_frequency"):
        return list(encoder.high_frequency.parameters())
    side = int(getattr(encoder, "img_size", 0) or network.image_size)
    device = next(encoder.parameters()).device
    grids = _grids(encoder, blocks, side)
    alike = [[place for place, _ in group] for _, group in groupby(enumerate(grids), key=lambda item: item[1])]
    stages = []
    for places in alike:
        rows, channels = grids[places[0]]
        stages.append(Stage(channels, side // rows, len(places)))
    added = HighFrequency(stages).to(device)
    encoder.high_frequency = added
    encoder.register_forward_pre_hook(added.see)
    for stage, places in enumerate(alike):
        for place, number in enumerate(places):
            blocks[number].register_forward_pre_hook(_Hook(added, stage, place, _channels_first(blocks[number])))
    return list(added.parameters())


class _Hook:
    """Calls `add` for one block; an object, so that a copied network has its own."""

    def __init__(self, added: HighFrequency, stage: int, place: int, channels_first: bool) -> None:
        self.added, self.stage, self.place, self.channels_first = added, stage, place, channels_first

    def __call__(self, _block: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        return self.added.add(self.stage, self.place, self.channels_first, inputs[0])


def _channels_first(block: nn.Module) -> bool:
    return bool(getattr(block, "CHANNELS_FIRST", False))


def _grids(encoder: Any, blocks: Sequence[nn.Module], side: int) -> list[tuple[int, int]]:
    """Return rows and channels of the tokens that each block takes; nothing is computed, only shapes."""
    found: list[tuple[int, int]] = []

    def note(block: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        shape = inputs[0].shape
        found.append((int(shape[2]), int(shape[1])) if _channels_first(block) else (int(shape[1]), int(shape[3])))

    hooks = [block.register_forward_pre_hook(note) for block in blocks]
    # what follows the blocks in SAM 2 keeps tables of positions, which would have no values
    trunk = getattr(encoder, "trunk", encoder)
    weights = {**dict(trunk.named_parameters()), **dict(trunk.named_buffers())}
    shapes = {name: torch.empty_like(tensor, device="meta") for name, tensor in weights.items()}
    with torch.no_grad():
        functional_call(trunk, shapes, (torch.empty(1, 3, side, side, device="meta"),))
    for hook in hooks:
        hook.remove()
    return found
