"""The plain vision transformer of SETR, with prompts before each layer (VPT-deep) where they are asked for.

Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021; Jia et al., Visual Prompt Tuning, ECCV 2022; Zheng et al.,
SETR, CVPR 2021. Layers and names are those of timm, so timm's weights fit. As in SETR there is no normalisation after
the last layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.errors import ConfigError
from mammoflow.segmentation.encoders.interface import Encoder, below, without

PATCH = 16
DEVIATION = 0.02
PROMPTS = "prompts"


@dataclass(frozen=True)
class VitLayout:
    """Sizes of a vision transformer.

    Attributes
    ----------
    width
        Numbers of a token.
    depth
        Layers.
    heads
        Attention heads of a layer.
    side_px
        Side of the pictures whose positions the weights have; positions of other sizes are interpolated.
    """

    width: int
    depth: int
    heads: int
    side_px: int


class VisionTransformer(Encoder):
    """Patches of 16 x 16 pixels to one map at stride 16, the output of the last layer.

    Parameters
    ----------
    layout
        Its sizes.
    """

    levels = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    strides = (PATCH,)
    transformer = True

    def __init__(self, layout: VitLayout) -> None:
        super().__init__()
        self.channels = (layout.width,)
        self.grid = layout.side_px // PATCH
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.patch_embed = PatchEmbed(None, PATCH, 3, layout.width, flatten=False, strict_img_size=False)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, layout.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid**2, layout.width))
        self.blocks = nn.ModuleList(
            Block(layout.width, layout.heads, qkv_bias=True, norm_layer=norm) for _ in range(layout.depth)
        )
        self.prompts: nn.Parameter | None = None
        nn.init.trunc_normal_(self.pos_embed, std=DEVIATION)
        nn.init.normal_(self.cls_token, std=1e-6)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=DEVIATION)
                nn.init.zeros_(module.bias)

    def add_prompts(self, tokens: int) -> None:
        """Put learned tokens before the patches of each layer; their outputs are thrown away after it.

        They begin with the distribution of Jia et al.: uniform within sqrt(6 / (3 patch² + width)). As many as are
        there already stay.

        Raises
        ------
        ConfigError
            If there is another number of them.
        """
        if self.prompts is not None:
            if self.prompts.shape[1] != tokens:
                raise ConfigError(
                    f"visual_prompts is {tokens}, but the model to start from has {self.prompts.shape[1]}; expected "
                    "the same number"
                )
            return
        width = self.channels[0]
        limit = math.sqrt(6 / (3 * PATCH**2 + width))
        values = torch.empty(len(self.blocks), tokens, width, device=self.pos_embed.device)
        self.prompts = nn.Parameter(values.uniform_(-limit, limit))

    def added_parameters(self) -> list[nn.Parameter]:
        """Return the prompts."""
        return [] if self.prompts is None else [self.prompts]

    def chosen_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the layers among the weights of a classifier or of a segmentation model; prompts stay as they are.

        Positions of another grid are interpolated.
        """
        chosen = without(below(state, ("encoder.",)), ("norm.", "head.", "fc_norm.", PROMPTS))
        positions = chosen.get("pos_embed")
        if positions is not None and positions.ndim == 3:
            chosen["pos_embed"] = self._positions(positions, (self.grid, self.grid))
        return chosen if self.prompts is None else {**chosen, PROMPTS: self.prompts.detach()}

    def tokens(self, pictures: Tensor) -> Tensor:
        """Return the patches' tokens with their positions (N, rows, columns, width), before the first layer."""
        patches = self.patch_embed(pictures).permute(0, 2, 3, 1)
        positions = self._positions(self.pos_embed, (int(patches.shape[1]), int(patches.shape[2])))
        tokens: Tensor = patches + positions[:, 1:].view(1, patches.shape[1], patches.shape[2], -1)
        return tokens

    def layers(self, tokens: Tensor) -> Tensor:
        """Pass tokens (N, tokens, width) through all layers, with the class token before them and removed after."""
        count = len(tokens)
        values = torch.cat([(self.cls_token + self.pos_embed[:, :1]).expand(count, -1, -1), tokens], dim=1)
        for number, block in enumerate(self.blocks):
            if self.prompts is None:
                values = block(values)
                continue
            prompts = self.prompts[number].expand(count, -1, -1).to(values.dtype)
            seen = block(torch.cat([values[:, :1], prompts, values[:, 1:]], dim=1))
            values = torch.cat([seen[:, :1], seen[:, 1 + prompts.shape[1] :]], dim=1)
        return values[:, 1:]

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Return one map (N, width, rows / 16, columns / 16)."""
        tokens = self.tokens(pictures)
        values = self.layers(tokens.flatten(1, 2))
        return [values.transpose(1, 2).unflatten(2, tokens.shape[1:3])]

    @staticmethod
    def _positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
        """Interpolate positions (1, 1 + side², width), the class token's first, to a grid, linearly as SETR does."""
        side = math.isqrt(positions.shape[1] - 1)
        if (side, side) == grid:
            return positions
        square = positions[:, 1:].transpose(1, 2).unflatten(2, (side, side))
        resized = functional.interpolate(square, size=grid, mode="bilinear", align_corners=False)
        return torch.cat([positions[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)
