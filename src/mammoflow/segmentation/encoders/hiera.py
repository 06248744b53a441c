"""Hiera, the image encoder of SAM 2, with an adapter before each block (Xiong et al., SAM2-UNet, 2024).

Ryali et al., Hiera, ICML 2023; Ravi et al., SAM 2, 2024. The trunk is that of the package sam2 and has its names.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from sam2.modeling.backbones.hieradet import Hiera
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.segmentation.encoders.interface import Encoder, below

LAYOUTS: dict[str, dict[str, Any]] = {
    "tiny": {
        "embed_dim": 96,
        "num_heads": 1,
        "stages": (1, 2, 7, 2),
        "global_att_blocks": (5, 7, 9),
        "window_pos_embed_bkg_spatial_size": (7, 7),
    },
    "small": {
        "embed_dim": 96,
        "num_heads": 1,
        "stages": (1, 2, 11, 2),
        "global_att_blocks": (7, 10, 13),
        "window_pos_embed_bkg_spatial_size": (7, 7),
    },
    "base_plus": {
        "embed_dim": 112,
        "num_heads": 2,
        "stages": (2, 3, 16, 3),
        "global_att_blocks": (12, 16, 20),
        "window_pos_embed_bkg_spatial_size": (14, 14),
    },
    "large": {
        "embed_dim": 144,
        "num_heads": 2,
        "stages": (2, 6, 36, 4),
        "global_att_blocks": (23, 33, 43),
        "window_pos_embed_bkg_spatial_size": (7, 7),
        "window_spec": (8, 4, 16, 8),
    },
}
"""Trunks of SAM 2's four sizes, as its configurations have them."""

BOTTLENECK = 32
KERNELS = (1, 3, 5)
DEVIATION = 0.02

AdapterKind = Literal["plain", "multi_scale"]


class BlockAdapter(nn.Module):
    """x + gelu(up(gelu(down(x)))) for tokens (N, rows, columns, channels); the identity at first.

    The published adapter begins with random weights in both layers. Here the last layer begins at zero, so that the
    first step starts from the frozen encoder.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Linear(channels, BOTTLENECK)
        self.up = nn.Linear(BOTTLENECK, channels)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def bottleneck(self, tokens: Tensor) -> Tensor:
        """Return the activated bottleneck (N, rows, columns, BOTTLENECK)."""
        return functional.gelu(self.down(tokens))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape."""
        return tokens + functional.gelu(self.up(self.bottleneck(tokens)))


class MultiScaleAdapter(BlockAdapter):
    """An adapter whose bottleneck sums depth-wise convolutions of 1, 3 and 5 pixels on the grid of tokens."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.scales = nn.ModuleList(
            nn.Conv2d(BOTTLENECK, BOTTLENECK, kernel, padding=kernel // 2, groups=BOTTLENECK, bias=False)
            for kernel in KERNELS
        )

    def bottleneck(self, tokens: Tensor) -> Tensor:
        """Return the activated sum (N, rows, columns, BOTTLENECK)."""
        grid = self.down(tokens).permute(0, 3, 1, 2)
        total = torch.stack([scale(grid) for scale in self.scales]).sum(dim=0)
        return functional.gelu(total.permute(0, 2, 3, 1))


ADAPTERS: dict[AdapterKind, type[BlockAdapter]] = {"plain": BlockAdapter, "multi_scale": MultiScaleAdapter}


class HieraEncoder(Encoder):
    """Hiera with an adapter before each block.

    Parameters
    ----------
    size
        A key of `LAYOUTS`.
    adapter
        Which kind of adapter.
    """

    def __init__(self, size: str, adapter: AdapterKind) -> None:
        super().__init__()
        self.trunk = Hiera(**LAYOUTS[size])
        self._initialise()
        self.adapters = nn.ModuleList(ADAPTERS[adapter](block.dim) for block in self.trunk.blocks)
        fine, middle, coarse, coarsest = reversed(self.trunk.channel_list)
        self.channels = fine, middle, coarse, coarsest

    @property
    def pretrained(self) -> nn.Module:
        """The trunk."""
        trunk: nn.Module = self.trunk
        return trunk

    def chosen_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the trunk among the weights of SAM 2, or of a trunk alone."""
        return below(state, ("image_encoder.trunk.", "encoder.trunk.", "trunk."))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Return the output of the last block of each stage."""
        trunk = self.trunk
        tokens = trunk.patch_embed(pictures)
        tokens = tokens + trunk._get_pos_embed((int(tokens.shape[1]), int(tokens.shape[2])))
        maps = []
        for number, (adapter, block) in enumerate(zip(self.adapters, trunk.blocks, strict=True)):
            tokens = block(adapter(tokens))
            if number in trunk.stage_ends:
                maps.append(tokens.permute(0, 3, 1, 2))
        return maps

    def _initialise(self) -> None:
        """Draw random weights as vision transformers begin: the package has none for training from scratch."""
        for module in self.trunk.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=DEVIATION)
                nn.init.zeros_(module.bias)
        for position in (self.trunk.pos_embed, self.trunk.pos_embed_window):
            nn.init.trunc_normal_(position, std=DEVIATION)
