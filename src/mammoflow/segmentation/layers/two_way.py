"""The parts of segment-anything's mask decoder, rearranged for speed; their results are the same but for rounding.

Two-way transformer: between some T tokens of prompts and masks (seven with a box) and P cells of an image (4,096) the
published module projects every cell to keys, values and queries before it multiplies them with those of the tokens. A
product does not mind where its brackets stand: here the tokens' queries pass through the key projection and meet the
cells as they are, and so with the rest. What is computed for a cell then grows with T and not with the projections.

Upscaling: its transposed convolutions have steps as wide as their kernels, so that each cell makes its own four for
itself, and everything else is done pixel by pixel. So the pixels are kept beside their cell and brought in order at the
end, when only the masks are left of the channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.segmentation.layers.segment_anything_modules import Attention, TwoWayAttentionBlock, TwoWayTransformer

ACROSS = ("cross_attn_token_to_image", "cross_attn_image_to_token")
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")


def run_two_way(
    transformer: TwoWayTransformer, image: Tensor, position: Tensor, tokens: Tensor
) -> tuple[Tensor, Tensor]:
    """Run segment-anything's two-way transformer.

    Parameters
    ----------
    transformer
        The module whose weights are used.
    image
        (N, C, rows, columns) image embeddings.
    position
        (1, C, rows, columns) positional encoding, or (N, ...).
    tokens
        (N, T, C) embeddings of prompts and masks.

    Returns
    -------
    tokens, cells
        (N, T, C) and (N, rows columns, C).
    """
    last: Attention = transformer.final_attn_token_to_image
    if not folds(transformer, tokens.shape[1]):
        published: tuple[Tensor, Tensor] = transformer(image, position.expand(len(image), -1, -1, -1), tokens)
        return published
    cells, place = (tensor.flatten(2).transpose(1, 2).contiguous() for tensor in (image, position))
    queries = tokens
    for layer in transformer.layers:
        queries, cells = _run_block(layer, queries, cells, tokens, place)
    attended = gather(last, queries + tokens, cells + place, cells)
    return transformer.norm_final_attn(queries + attended), cells


def folds(transformer: TwoWayTransformer, tokens: int) -> bool:
    """Tell whether folding is of use for so many tokens, and the projections are plain layers."""
    attention: Attention = transformer.final_attn_token_to_image
    attentions = [attention, *(getattr(layer, name) for layer in transformer.layers for name in ACROSS)]
    plain = all(type(getattr(each, name)) is nn.Linear for each in attentions for name in PROJECTIONS)
    return plain and tokens * attention.num_heads <= attention.internal_dim


def _run_block(
    layer: TwoWayAttentionBlock, queries: Tensor, cells: Tensor, tokens: Tensor, place: Tensor
) -> tuple[Tensor, Tensor]:
    if layer.skip_first_layer_pe:
        queries = layer.self_attn(queries, queries, queries)
    else:
        placed = queries + tokens
        queries = queries + layer.self_attn(placed, placed, queries)
    queries = layer.norm1(queries)
    placed_cells = cells + place
    queries = layer.norm2(queries + gather(layer.cross_attn_token_to_image, queries + tokens, placed_cells, cells))
    queries = layer.norm3(queries + layer.mlp(queries))
    cells = scatter(layer.cross_attn_image_to_token, placed_cells, queries + tokens, queries, cells)
    return queries, layer.norm4(cells)


def gather(attention: Attention, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attend from tokens to cells: `attention(queries, keys, values)`.

    Parameters
    ----------
    attention
        The module whose weights are used.
    queries
        (N, T, C) tokens.
    keys, values
        (N, P, C) cells.

    Returns
    -------
    Tensor
        (N, T, C).
    """
    count, many = queries.shape[:2]
    heads, width = attention.num_heads, attention.internal_dim // attention.num_heads
    scaled_queries = attention.q_proj(queries).view(count, many, heads, width) / width**0.5
    # the bias of the keys adds the same to all scores of a query, which the softmax takes away again
    folded = torch.einsum("nthw,hwc->nhtc", scaled_queries, attention.k_proj.weight.view(heads, width, -1))
    scores = torch.bmm(folded.flatten(1, 2), keys.transpose(1, 2))
    seen = torch.bmm(scores.softmax(dim=-1), values).view(count, heads, many, -1)
    values = torch.einsum("nhtc,hwc->nthw", seen, attention.v_proj.weight.view(heads, width, -1))
    result: Tensor = attention.out_proj(values.flatten(2) + attention.v_proj.bias)
    return result


def scatter(attention: Attention, queries: Tensor, keys: Tensor, values: Tensor, onto: Tensor) -> Tensor:
    """Attend from cells to tokens and add the result: `onto + attention(queries, keys, values)`.

    Parameters
    ----------
    attention
        The module whose weights are used.
    queries
        (N, P, C) cells.
    keys, values
        (N, T, C) tokens.
    onto
        (N, P, C) cells.

    Returns
    -------
    Tensor
        (N, P, C).
    """
    count, many = keys.shape[:2]
    heads, width = attention.num_heads, attention.internal_dim // attention.num_heads
    scaled_keys = attention.k_proj(keys).view(count, many, heads, width) / width**0.5
    folded = torch.einsum("nthw,hwc->nhtc", scaled_keys, attention.q_proj.weight.view(heads, width, -1)).flatten(1, 2)
    # the bias of the queries adds something else for each token
    shift = torch.einsum("nthw,hw->nht", scaled_keys, attention.q_proj.bias.view(heads, width)).flatten(1)
    scores = torch.baddbmm(shift[..., None], folded, queries.transpose(1, 2))
    shares = scores.view(count, heads, many, -1).softmax(dim=2).flatten(1, 2)
    own_values = attention.v_proj(values).view(count, many, heads, width)
    spread = torch.einsum("nthw,chw->nhtc", own_values, attention.out_proj.weight.view(-1, heads, width)).flatten(1, 2)
    # the shares of each head add up to one, and so do the parts of the bias
    spread = spread + attention.out_proj.bias / heads
    return torch.baddbmm(onto, shares.transpose(1, 2), spread)


def draw_masks(upscaling: Any, cells: Tensor, weights: Tensor, grid: tuple[int, int]) -> Tensor:
    """Upscale the cells fourfold and weigh their channels: `weights @ upscaling(cells)`.

    Parameters
    ----------
    upscaling
        Sequence of transposed convolution, normalisation, activation, transposed convolution, activation.
    cells
        (N, rows columns, C) cells.
    weights
        (N, heads, channels) weights of the upscaled channels, one row per mask.
    grid
        Rows and columns.

    Returns
    -------
    Tensor
        (N, heads, 4 rows, 4 columns) mask logits.
    """
    first, norm, activation, second, last = upscaling
    count, heads, (rows, columns) = len(cells), weights.shape[1], grid
    values = _four_each(first, cells)
    values = activation(functional.layer_norm(values, norm.weight.shape, norm.weight, norm.bias, norm.eps))
    values = last(_four_each(second, values))
    masks = torch.bmm(values.flatten(1, -2), weights.transpose(1, 2))
    # row and column of the cell, then in the cell, then in the quarter
    ordered = masks.view(count, rows, columns, 2, 2, 2, 2, heads).permute(0, 7, 1, 3, 5, 2, 4, 6)
    return ordered.reshape(count, heads, 4 * rows, 4 * columns)


def _four_each(convolution: Any, values: Tensor) -> Tensor:
    """Make four pixels (..., 4, out) of each (..., in), by rows."""
    out = convolution.out_channels
    weight = convolution.weight.permute(2, 3, 1, 0).reshape(4 * out, -1)
    made: Tensor = functional.linear(values, weight, convolution.bias.repeat(4)).unflatten(-1, (4, out))
    return made
