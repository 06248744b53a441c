"""TinyViT as LiteMedSAM uses it: the encoder of MobileSAM without the first two strides, for images of 256 x 256.

Wu et al., TinyViT, ECCV 2022; Zhang et al., MobileSAM, arXiv 2306.14289. Parameters have the names of LiteMedSAM's
weights. Values are kept channels-last, and a convolution takes over its batch normalisation wherever the statistics are
fixed, which gives the published numbers but for rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.segmentation.layers.visual_prompts import VisualPrompts, with_prompts

SIDE = 256
WIDTHS = (64, 128, 160, 320)
DEPTHS = (2, 2, 6, 2)
HEADS = (2, 4, 5, 10)
WINDOWS = (7, 7, 14, 7)
GRIDS = (256, 128, 64, 64)
"""Rows and columns of the grid in each stage; the last merging of patches has no stride."""
EXPANSION = 4
EMBEDDING = 256


class ConvNorm(nn.Module):
    """A convolution without bias and its batch normalisation; both in one where the statistics are fixed."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, values: Tensor) -> Tensor:
        """Return (N, outputs, rows, columns)."""
        if self.bn.training:
            result: Tensor = self.bn(self.c(values))
            return result
        norm = self.bn
        factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)  # type: ignore[operator, arg-type]
        weight = self.c.weight * factor[:, None, None, None]
        bias = norm.bias - norm.running_mean * factor  # type: ignore[operator]
        if self.c.kernel_size == (1, 1):  # a product of matrices, for which torch has the faster kernels
            return functional.linear(values.permute(0, 2, 3, 1), weight[:, :, 0, 0], bias).permute(0, 3, 1, 2)
        return functional.conv2d(values, weight, bias, self.c.stride, self.c.padding, (1, 1), self.c.groups)  # type: ignore[arg-type]


class MobileBlock(nn.Module):
    """Inverted bottleneck with a residual (Sandler et al., MobileNetV2, CVPR 2018)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = width * EXPANSION
        self.conv1 = ConvNorm(width, inner)
        self.conv2 = ConvNorm(inner, inner, kernel=3, groups=inner)
        self.conv3 = ConvNorm(inner, width)

    def forward(self, values: Tensor) -> Tensor:
        """Return (N, width, rows, columns)."""
        inner = functional.gelu(self.conv2(functional.gelu(self.conv1(values))))
        return functional.gelu(values + self.conv3(inner))


class Merging(nn.Module):
    """From one stage to the next: another width, and half the grid where the stride is 2."""

    def __init__(self, width: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(width, outputs)
        self.conv2 = ConvNorm(outputs, outputs, kernel=3, stride=stride, groups=outputs)
        self.conv3 = ConvNorm(outputs, outputs)

    def forward(self, values: Tensor) -> Tensor:
        """Return (N, outputs, rows, columns)."""
        result: Tensor = self.conv3(functional.gelu(self.conv2(functional.gelu(self.conv1(values)))))
        return result


class WindowAttention(nn.Module):
    """Attention in windows, with a learned bias for each distance of rows and columns (as LeViT has it)."""

    QKV_BY_HEAD = True
    """The rows of `qkv` are query, key and value of one head after the other."""

    distances: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window**2))
        rows, columns = torch.arange(window**2) // window, torch.arange(window**2) % window
        apart = (rows[:, None] - rows).abs() * window + (columns[:, None] - columns).abs()
        self.register_buffer("distances", apart, persistent=False)
        self.visual_prompts: VisualPrompts | None = None

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (windows, tokens, width)."""
        count, many, width = tokens.shape
        query, key, value = self._parts(self.norm(tokens))
        bias = self.attention_biases[:, self.distances].to(query.dtype)
        if self.visual_prompts is not None:
            _, prompt_key, prompt_value = self._parts(self.visual_prompts()[None])
            key, value = with_prompts(key, prompt_key[0]), with_prompts(value, prompt_value[0])
            bias = functional.pad(bias, (0, key.shape[2] - many))  # a prompt has no position
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias[None])
        result: Tensor = self.proj(seen.transpose(1, 2).reshape(count, many, width))
        return result

    def _parts(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values (windows, heads, tokens, channels) of normalised tokens."""
        mixed: Tensor = self.qkv(tokens)
        parts: tuple[Tensor, ...] = mixed.unflatten(2, (self.heads, -1)).transpose(1, 2).chunk(3, dim=-1)
        return parts


class Mlp(nn.Module):
    """Normalisation and two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, EXPANSION * width)
        self.fc2 = nn.Linear(EXPANSION * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (..., width)."""
        result: Tensor = self.fc2(functional.gelu(self.fc1(self.norm(tokens))))
        return result


class Block(nn.Module):
    """Attention in windows, a depth-wise convolution, and a perceptron."""

    CHANNELS_FIRST = True
    """The block takes (N, width, rows, columns)."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(width, heads, window)
        self.mlp = Mlp(width)
        self.local_conv = ConvNorm(width, width, kernel=3, groups=width)

    def forward(self, values: Tensor) -> Tensor:
        """Return (N, width, rows, columns); tokens of zeros fill up the windows at the right and lower border."""
        tokens = values.permute(0, 2, 3, 1)
        count, rows, columns, width = tokens.shape
        side = self.window
        filled = functional.pad(tokens, (0, 0, 0, -columns % side, 0, -rows % side))
        down, across = filled.shape[1] // side, filled.shape[2] // side
        windows = filled.view(count, down, side, across, side, width).transpose(2, 3).reshape(-1, side**2, width)
        seen = self.attn(windows).view(count, down, across, side, side, width).transpose(2, 3)
        tokens = tokens + seen.reshape(filled.shape)[:, :rows, :columns]
        tokens = self.local_conv(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        result: Tensor = (tokens + self.mlp(tokens)).permute(0, 3, 1, 2)
        return result


class Stage(nn.Module):
    """Blocks of one width, and what leads to the next."""

    def __init__(self, index: int) -> None:
        super().__init__()
        width = WIDTHS[index]
        self.blocks = nn.ModuleList(
            Block(width, HEADS[index], WINDOWS[index]) if index else MobileBlock(width) for _ in range(DEPTHS[index])
        )
        self.downsample: nn.Module = nn.Identity()
        if index + 1 < len(WIDTHS):
            self.downsample = Merging(width, WIDTHS[index + 1], GRIDS[index] // GRIDS[index + 1])

    def forward(self, values: Tensor) -> Tensor:
        """Return (N, width of the next stage, rows, columns)."""
        for block in self.blocks:
            values = block(values)
        result: Tensor = self.downsample(values)
        return result


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of (N, channels, rows, columns)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, values: Tensor) -> Tensor:
        """Return the normalised values."""
        last = values.permute(0, 2, 3, 1)
        return functional.layer_norm(last, self.weight.shape, self.weight, self.bias, 1e-6).permute(0, 3, 1, 2)


class PatchEmbedding(nn.Module):
    """The first two convolutions, pixel by pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(3, WIDTHS[0] // 2), nn.GELU(), ConvNorm(WIDTHS[0] // 2, WIDTHS[0]))

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, width, rows, columns)."""
        result: Tensor = self.seq(images)
        return result


class TinyVit(nn.Module):
    """LiteMedSAM's image encoder: (N, 3, 256, 256) to (N, 256, 64, 64)."""

    img_size = SIDE

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding()
        self.layers = nn.ModuleList(Stage(index) for index in range(len(WIDTHS)))
        self.neck = nn.Sequential(
            nn.Conv2d(WIDTHS[-1], EMBEDDING, 1, bias=False),
            ChannelNorm(EMBEDDING),
            nn.Conv2d(EMBEDDING, EMBEDDING, 3, padding=1, bias=False),
            ChannelNorm(EMBEDDING),
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the embeddings of images."""
        values = self.patch_embed(images.contiguous(memory_format=torch.channels_last))
        for layer in self.layers:
            values = layer(values)
        result: Tensor = self.neck(values)
        return result.contiguous()
