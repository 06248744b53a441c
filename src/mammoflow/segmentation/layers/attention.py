"""Attention with decomposed relative positions, without the (tokens x tokens) tables that make SAM's encoder slow.

SAM's encoder (Kirillov et al., ICCV 2023) adds to each attention score a term for the difference of the rows and one
for the difference of the columns of query and key (Li et al., MViTv2, CVPR 2022). segment-anything writes all scores of
a block to memory, 0.8 GB for an image with ViT-B, and goes over them five times. Here are two ways that do not:

- `attention_in_blocks`: as many queries at a time as have their scores in the processor's cache. Inference on a CPU in
  fp32.
- `attention_in_one_kernel`: torch's fused `scaled_dot_product_attention`. The two terms are products themselves: of the
  query's term for each row, and a key that has 1 at its own row and 0 elsewhere. Appended to query and key they become
  part of the one product that the fused kernels know, with gradients. GPUs, training, and bf16 on a CPU, where products
  are cheap and scores in bf16 would be rounded more than the kernel rounds.

What each takes beside the others is in docs/benchmarks.md.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.segmentation.layers.segment_anything_modules import EncoderAttention, ImageEncoderViT, get_rel_pos
from mammoflow.segmentation.layers.visual_prompts import VisualPrompts, with_prompts

BLOCK_BYTES = 2**21
"""Scores that are computed together on a CPU: what stays in its caches beside the keys and values of a head."""

KERNEL_MULTIPLE = 8
"""The fused kernels take channels in multiples of this number."""

Grid = tuple[int, int]


class RelativeAttention(nn.Module):
    """Drop-in for segment-anything's `Attention`, windows included, with the same parameters under the same names.

    It takes the whole grid of tokens and cuts windows after the linear layer, so that the tokens that only fill a
    window up cost no matrix product; they have the keys and values of a token of zeros, as upstream.

    Parameters
    ----------
    attention
        The module whose layers and parameters are taken over.
    window
        Side of the windows in tokens; 0 for attention over the whole grid.
    """

    def __init__(self, attention: EncoderAttention, window: int) -> None:
        super().__init__()
        self.num_heads = int(attention.num_heads)
        self.scale = float(attention.scale)
        self.window = window
        self.qkv: nn.Module = attention.qkv
        self.proj: nn.Module = attention.proj
        self.rel_pos_h: nn.Parameter = attention.rel_pos_h
        self.rel_pos_w: nn.Parameter = attention.rel_pos_w
        self.visual_prompts: VisualPrompts | None = None

    def forward(self, tokens: Tensor) -> Tensor:
        """Let tokens (images, rows, columns, channels) attend to each other."""
        images, rows, columns, _ = tokens.shape
        side_y, side_x = (self.window, self.window) if self.window else (rows, columns)
        down, across = -(-rows // side_y), -(-columns // side_x)
        mixed = self._filled(self.qkv(tokens), (down * side_y, across * side_x))
        mixed = mixed.view(images, down, side_y, across, side_x, 3, self.num_heads, -1)
        query, key, value = mixed.permute(5, 0, 1, 3, 6, 2, 4, 7).reshape(
            3, images * down * across, self.num_heads, side_y * side_x, -1
        )
        if self.visual_prompts is not None:
            prompts = self.qkv(self.visual_prompts()).unflatten(1, (3, self.num_heads, -1)).permute(1, 2, 0, 3)
            key, value = with_prompts(key, prompts[1]), with_prompts(value, prompts[2])
        attended = self._attend(query, key, value, (side_y, side_x))
        attended = attended.view(images, down, across, self.num_heads, side_y, side_x, -1).permute(0, 1, 4, 2, 5, 3, 6)
        attended = attended.reshape(images, down * side_y, across * side_x, -1)
        # in order: of a tensor with gaps torch multiplies each row by a copy of the weights of its own
        result: Tensor = self.proj(attended[:, :rows, :columns].contiguous())
        return result

    def _filled(self, mixed: Tensor, size: Grid) -> Tensor:
        """Fill the grid (images, rows, columns, C) up to whole windows with what a token of zeros gives."""
        images, rows, columns, channels = mixed.shape
        if (rows, columns) == size:
            return mixed
        nothing = self.qkv(mixed.new_zeros(1, channels // 3)).to(mixed.dtype)
        right = nothing.expand(images, rows, size[1] - columns, channels)
        below = nothing.expand(images, size[0] - rows, size[1], channels)
        return torch.cat([torch.cat([mixed, right], dim=2), below], dim=1)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, grid: Grid) -> Tensor:
        by_row = get_rel_pos(grid[0], grid[0], self.rel_pos_h)
        by_column = get_rel_pos(grid[1], grid[1], self.rel_pos_w)
        on_grid = query.unflatten(2, grid)
        row_terms = torch.einsum("bnhwc,hkc->bnhwk", on_grid, by_row).to(query.dtype)
        column_terms = torch.einsum("bnhwc,wkc->bnhwk", on_grid, by_column).to(query.dtype)
        by_blocks = query.device.type == "cpu" and query.dtype == torch.float32 and not torch.is_grad_enabled()
        prompted = key.shape[2] > query.shape[2]
        way = attention_in_blocks if by_blocks and not prompted else attention_in_one_kernel
        return way(query, key, value, row_terms, column_terms, self.scale)


def attention_in_one_kernel(
    query: Tensor, key: Tensor, value: Tensor, row_terms: Tensor, column_terms: Tensor, scale: float
) -> Tensor:
    """Attend by torch's fused kernels; differentiable, in memory that grows with the tokens and not their square.

    Parameters
    ----------
    query, key, value
        (windows, heads, rows * columns, channels); keys and values may have further tokens after those of the grid,
        which have no position.
    row_terms
        (windows, heads, rows, columns, rows): what is added to the scores of each query for the row of the key.
    column_terms
        (windows, heads, rows, columns, columns): the same for the column of the key.
    scale
        Factor of the products of query and key.

    Returns
    -------
    Tensor
        (windows, heads, rows * columns, channels).
    """
    rows, columns, channels = row_terms.shape[-1], column_terms.shape[-1], query.shape[-1]
    row_of_key = torch.eye(rows, dtype=key.dtype, device=key.device).repeat_interleave(columns, dim=0)
    column_of_key = torch.eye(columns, dtype=key.dtype, device=key.device).repeat(rows, 1)
    on_grid = torch.cat([row_of_key, column_of_key], dim=1)
    places = functional.pad(on_grid, (0, 0, 0, key.shape[2] - rows * columns)).expand(*key.shape[:2], -1, -1)
    longer_query = torch.cat([query * scale, row_terms.flatten(2, 3), column_terms.flatten(2, 3)], dim=-1)
    longer_key = torch.cat([key, places], dim=-1)
    width = -(-longer_key.shape[-1] // KERNEL_MULTIPLE) * KERNEL_MULTIPLE
    # flash kernels take one number of channels for all three, so the values are filled up as well
    filled = [functional.pad(each, (0, width - each.shape[-1])) for each in (longer_query, longer_key, value)]
    attended = functional.scaled_dot_product_attention(filled[0], filled[1], filled[2], scale=1.0)
    return attended[..., :channels].contiguous()


def attention_in_blocks(
    query: Tensor, key: Tensor, value: Tensor, row_terms: Tensor, column_terms: Tensor, scale: float
) -> Tensor:
    """Attend with so many scores at a time that they stay in the processor's cache; without gradients.

    Parameters and result are those of `attention_in_one_kernel`.
    """
    rows, columns, tokens = row_terms.shape[-1], column_terms.shape[-1], query.shape[2]
    queries, keys, values = (each.flatten(0, 1) for each in (query, key, value))
    by_row, by_column = row_terms.flatten(0, 1), column_terms.flatten(0, 1)
    result = torch.empty_like(queries)
    together = min(len(queries), BLOCK_BYTES // (tokens * tokens * query.element_size()))
    # one table for all blocks: new ones would not be in the cache, and cost a third more
    if together:
        tables = query.new_empty(together, rows, columns, rows, columns)
        for head in range(0, len(queries), together):
            heads = slice(head, head + together)
            table = tables[: len(queries[heads])]
            torch.add(by_row[heads, ..., None], by_column[heads, :, :, None], out=table)
            scores = table.view(-1, tokens, tokens).baddbmm_(queries[heads], keys[heads].transpose(1, 2), alpha=scale)
            torch.bmm(torch.softmax(scores, dim=-1, out=scores), values[heads], out=result[heads])
        return result.view_as(query)
    step = max(1, BLOCK_BYTES // (columns * tokens * query.element_size()))
    tables = query.new_empty(step, columns, rows, columns)
    for head in range(len(queries)):
        for row in range(0, rows, step):
            part, those = slice(row * columns, (row + step) * columns), slice(row, row + step)
            table = tables[: len(by_row[head, those])]
            torch.add(by_row[head, those, ..., None], by_column[head, those, :, None], out=table)
            scores = table.view(-1, tokens).addmm_(queries[head, part], keys[head].t(), alpha=scale)
            torch.mm(torch.softmax(scores, dim=-1, out=scores), values[head], out=result[head, part])
    return result.view_as(query)


def replace_attention(encoder: nn.Module) -> None:
    """Put `RelativeAttention` in the place of the attention of each block of SAM's encoder; the weights stay the same.

    The tokens are brought in order in memory once, where upstream has them as the convolution leaves them and each
    layer norm copies them. Blocks without relative positions stay as they are, and so do those that were replaced
    before and other encoders.
    """
    if not isinstance(encoder, ImageEncoderViT):
        return
    blocks: Any = encoder.blocks  # segment-anything is not typed
    replaced = False
    for block in blocks:
        if isinstance(block.attn, EncoderAttention) and block.attn.use_rel_pos:
            block.attn = RelativeAttention(block.attn, int(block.window_size))
            block.window_size = 0  # the attention cuts the windows itself
            replaced = True
    if replaced:
        encoder.patch_embed.register_forward_hook(_in_order)


def _in_order(_module: nn.Module, _inputs: tuple[Tensor, ...], tokens: Tensor) -> Tensor:
    return tokens.contiguous()
