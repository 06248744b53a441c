"""The two ways of relative attention against segment-anything's own module and against the formula in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from segment_anything.build_sam import _build_sam
from segment_anything.modeling.image_encoder import Attention, window_partition, window_unpartition
from torch import Tensor, nn

from mammoflow.segmentation.layers import attention
from mammoflow.segmentation.layers.attention import (
    RelativeAttention,
    attention_in_blocks,
    attention_in_one_kernel,
    replace_attention,
)

CHANNELS, HEADS = 24, 2
Way = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, float], Tensor]
LAYOUTS = pytest.mark.parametrize(
    ("grid", "window"),
    [
        pytest.param((9, 6), 0, id="whole grid, not square"),
        pytest.param((8, 12), 4, id="windows that divide the grid"),
        pytest.param((10, 7), 4, id="windows that do not divide the grid"),
        pytest.param((3, 5), 6, id="window larger than the grid"),
    ],
)


def upstream_attention(grid: tuple[int, int], window: int) -> Attention:
    """Return segment-anything's module for the grid or window, with random biases and relative positions."""
    torch.manual_seed(1)
    size = (window, window) if window else grid
    module = Attention(CHANNELS, num_heads=HEADS, qkv_bias=True, use_rel_pos=True, input_size=size)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def upstream(module: Attention, tokens: Tensor, window: int) -> Tensor:
    """Do what segment-anything's block does around its attention."""
    if not window:
        return module(tokens)
    windows, padded = window_partition(tokens, window)
    return window_unpartition(module(windows), window, padded, tokens.shape[1:3])


def tokens_on(grid: tuple[int, int]) -> Tensor:
    return torch.randn(3, *grid, CHANNELS, generator=torch.Generator().manual_seed(2))


@LAYOUTS
def test_inference_gives_what_upstream_gives(grid: tuple[int, int], window: int) -> None:
    module, tokens = upstream_attention(grid, window), tokens_on(grid)
    with torch.inference_mode():
        found = RelativeAttention(module, window)(tokens)
        torch.testing.assert_close(found, upstream(module, tokens, window), atol=2e-5, rtol=1e-5)


@LAYOUTS
def test_training_gives_upstreams_values_and_gradients(grid: tuple[int, int], window: int) -> None:
    module = upstream_attention(grid, window)
    results = []
    for way in (lambda tokens: upstream(module, tokens, window), RelativeAttention(module, window)):
        module.zero_grad()
        tokens = tokens_on(grid).requires_grad_()
        values = way(tokens)
        weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(3))
        (values * weights).sum().backward()
        gradients = {name: parameter.grad.clone() for name, parameter in module.named_parameters()}
        results.append((values.detach(), tokens.grad, gradients))
    (expected, expected_input, expected_gradients), (found, found_input, found_gradients) = results
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(found_input, expected_input, atol=2e-4, rtol=1e-4)
    assert all(gradient.abs().max() > 0 for gradient in expected_gradients.values())
    for name, gradient in expected_gradients.items():
        torch.testing.assert_close(found_gradients[name], gradient, atol=2e-4, rtol=1e-4, msg=name)


def test_positions_of_another_resolution_are_interpolated_as_upstream() -> None:
    module, tokens = upstream_attention((5, 5), 0), tokens_on((8, 8))
    with torch.inference_mode():
        found = RelativeAttention(module, 0)(tokens)
        torch.testing.assert_close(found, upstream(module, tokens, 0), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("way", [attention_in_blocks, attention_in_one_kernel])
@pytest.mark.parametrize("block_bytes", [1, 40 * 40 * 4 - 1, 3 * 40 * 40 * 4, 2**21])
@pytest.mark.parametrize("in_order", [True, False])
def test_both_ways_follow_the_formula(
    monkeypatch: pytest.MonkeyPatch, way: Way, block_bytes: int, in_order: bool
) -> None:
    """One row of queries at a time, some rows, some heads, all heads; none of them divides what there is."""
    monkeypatch.setattr(attention, "BLOCK_BYTES", block_bytes)
    generator = torch.Generator().manual_seed(4)
    rows, columns, channels = 8, 5, 12
    query, key, value = (torch.randn(2, 2, rows * columns, channels, generator=generator) for _ in range(3))
    row_terms = torch.randn(2, 2, rows, columns, rows, generator=generator)
    column_terms = torch.randn(2, 2, rows, columns, columns, generator=generator)
    exact = [each.double() for each in (query, key, value, row_terms, column_terms)]
    scores = 0.3 * exact[0] @ exact[1].transpose(-1, -2)
    scores = scores.view(2, 2, rows, columns, rows, columns) + exact[3][..., None] + exact[4][..., None, :]
    expected = scores.view(2, 2, rows * columns, -1).softmax(dim=-1) @ exact[2]
    if not in_order:  # terms as einsum leaves them
        row_terms = row_terms.permute(2, 0, 1, 3, 4).contiguous().permute(1, 2, 0, 3, 4)
        column_terms = column_terms.permute(3, 0, 1, 2, 4).contiguous().permute(1, 2, 3, 0, 4)
    with torch.inference_mode():
        found = way(query, key, value, row_terms, column_terms, 0.3)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("window", [0, 4])
def test_half_precision_stays_near_full_precision(window: int) -> None:
    module, tokens = upstream_attention((10, 7), window), tokens_on((10, 7))
    replaced = RelativeAttention(module, window)
    with torch.inference_mode():
        exact = replaced(tokens)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = replaced(tokens)
    assert rounded.dtype == torch.bfloat16
    error = float((rounded - exact).norm() / exact.norm())
    assert 0 < error < 0.03


def test_replacing_keeps_names_weights_and_result_and_happens_once() -> None:
    torch.manual_seed(5)
    encoder = _build_sam(48, 2, 2, [1]).image_encoder
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    replace_attention(encoder)
    modules = [block.attn for block in encoder.blocks]
    replace_attention(encoder)
    assert [block.attn for block in encoder.blocks] == modules
    assert [(type(module), module.window) for module in modules] == [(RelativeAttention, 14), (RelativeAttention, 0)]
    assert [block.window_size for block in encoder.blocks] == [0, 0]
    after = encoder.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_linear_layers_and_norms_get_tokens_in_order() -> None:
    """Of others torch makes copies, or products that take several times as long."""
    encoder = _build_sam(48, 2, 2, [1]).image_encoder
    replace_attention(encoder)
    in_order: list[bool] = []
    for module in encoder.blocks.modules():
        if isinstance(module, nn.Linear | nn.LayerNorm):
            module.register_forward_pre_hook(lambda _, inputs: in_order.append(inputs[0].is_contiguous()))
    with torch.inference_mode():
        encoder(torch.zeros(1, 3, 1024, 1024))
    assert len(in_order) == 2 * 6 + 1  # the windowed block asks its layer once more, for a token of zeros
    assert all(in_order)


def test_blocks_without_relative_positions_and_other_encoders_stay() -> None:
    encoder = _build_sam(48, 2, 2, [1]).image_encoder
    plain = Attention(48, num_heads=2, use_rel_pos=False)
    encoder.blocks[0].attn = plain
    replace_attention(encoder)
    assert encoder.blocks[0].attn is plain
    assert encoder.blocks[0].window_size == 14
    other = nn.Sequential(Attention(48, num_heads=2, use_rel_pos=True, input_size=(4, 4)))
    replace_attention(other)
    assert isinstance(other[0], Attention)
