"""Visual prompts as keys and values against prompts that are prepended, in the three encoders."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.utils import window_partition, window_unpartition
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import add_decomposed_rel_pos
from torch import Tensor, nn

from mammoflow.errors import ConfigError, WeightsError
from mammoflow.segmentation.layers.attention import replace_attention
from mammoflow.segmentation.layers.attention_blocks import find_blocks, is_global
from mammoflow.segmentation.layers.visual_prompts import insert_visual_prompts, load_visual_prompts
from mammoflow.segmentation.networks.tiny_vit import Block

COUNT = 3


class Encoder(nn.Module):
    def __init__(self, image_encoder: nn.Module) -> None:
        super().__init__()
        self.image_encoder = image_encoder

    def forward(self, image: Tensor) -> Tensor:
        result = self.image_encoder(image)
        return result[-1] if isinstance(result, list) else result


def random(network: nn.Module) -> nn.Module:
    """Give every parameter a value, relative positions among them, in double precision."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    return network.double().eval()


def sam() -> Encoder:
    """Two blocks with windows of 5 on a grid of 8 x 8, the second over the whole image."""
    encoder = ImageEncoderViT(
        img_size=64, patch_size=8, embed_dim=24, depth=2, num_heads=2, out_chans=8, use_rel_pos=True, window_size=5,
        global_attn_indexes=(1,),
    )  # fmt: skip
    return Encoder(random(encoder))


def hiera() -> Encoder:
    """Two stages: windows of 4, a block that pools the queries, and one over the whole image."""
    encoder = Hiera(
        embed_dim=8, num_heads=1, q_pool=1, stages=(1, 2), window_spec=(4, 2), global_att_blocks=(2,),
        window_pos_embed_bkg_spatial_size=(4, 4),
    )  # fmt: skip
    return Encoder(random(encoder))


def tiny() -> Encoder:
    """Two of TinyViT's blocks with windows of 7."""
    return Encoder(random(nn.Sequential(Block(16, 2, 7), Block(16, 2, 7))))


IMAGES: dict[Callable[[], Encoder], tuple[int, ...]] = {sam: (3, 64, 64), hiera: (3, 64, 64), tiny: (16, 10, 9)}


@pytest.fixture(params=list(IMAGES), ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest) -> Callable[[], Encoder]:
    found: Callable[[], Encoder] = request.param
    return found


def images(make: Callable[[], Encoder], count: int) -> Tensor:
    return torch.randn(count, *IMAGES[make], generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def prompted(network: Encoder, count: int = COUNT, **options: Any) -> Encoder:
    """Return a copy with our attention and prompts of ordinary size."""
    copied = copy.deepcopy(network)
    replace_attention(copied.image_encoder)
    for tokens in insert_visual_prompts(copied, count, **options):
        nn.init.normal_(tokens)
    return copied.double()


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | float, scale: float) -> Tensor:
    return ((query * scale) @ key.transpose(-2, -1) + bias).softmax(dim=-1) @ value


def prepend_to_sam(block: Any, tokens: Tensor, prompts: Tensor) -> Tensor:
    """A block of segment-anything with prompts before the tokens of every window; their own results are dropped."""
    attention, side = block.attn, block.window_size or tokens.shape[1]
    windows, padded = window_partition(block.norm1(tokens), side)
    count = len(windows)
    row = torch.cat([block.norm1(prompts).expand(count, -1, -1), windows.flatten(1, 2)], dim=1)
    mixed = attention.qkv(row).reshape(count, row.shape[1], 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    query, key, value = mixed.flatten(1, 2)
    of_patches = torch.zeros(len(query), side**2, side**2, dtype=row.dtype)
    of_patches = add_decomposed_rel_pos(
        of_patches, query[:, len(prompts) :], attention.rel_pos_h, attention.rel_pos_w, (side, side), (side, side)
    )
    bias = torch.zeros(len(query), row.shape[1], row.shape[1], dtype=row.dtype)
    bias[:, len(prompts) :, len(prompts) :] = of_patches
    seen = attend(query, key, value, bias, attention.scale).unflatten(0, (count, -1)).transpose(1, 2).flatten(2)
    seen = attention.proj(seen)[:, len(prompts) :].unflatten(1, (side, side))
    tokens = tokens + window_unpartition(seen, side, padded, tokens.shape[1:3])
    return tokens + block.mlp(block.norm2(tokens))


def prepend_to_hiera(block: Any, tokens: Tensor, prompts: Tensor) -> Tensor:
    """A block of Hiera with prompts before the tokens of every window; where it pools, it pools the patches alone."""
    attention, normed = block.attn, block.norm1(tokens)
    shortcut, pool = tokens, (lambda grid: block.pool(grid.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
    if block.dim != block.dim_out:
        shortcut = pool(block.proj(normed))
    side = block.window_size or tokens.shape[1]
    windows, _ = window_partition(normed, side)
    count, heads = len(windows), attention.num_heads
    row = torch.cat([block.norm1(prompts).expand(count, -1, -1), windows.flatten(1, 2)], dim=1)
    query, key, value = attention.qkv(row).reshape(count, row.shape[1], 3, -1).unbind(2)
    if block.pool is not None:
        patches = pool(query[:, len(prompts) :].unflatten(1, (side, side)))
        query, side = torch.cat([query[:, : len(prompts)], patches.flatten(1, 2)], dim=1), patches.shape[1]
    by_head = [part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (query, key, value)]
    seen = attend(*by_head, 0.0, by_head[0].shape[-1] ** -0.5).transpose(1, 2).flatten(2)
    seen = attention.proj(seen)[:, len(prompts) :].unflatten(1, (side, side))
    rows, columns = shortcut.shape[1:3]
    whole = shortcut + window_unpartition(seen, side, (rows, columns), (rows, columns))
    return whole + block.mlp(block.norm2(whole))


def prepend_to_tiny(block: Any, values: Tensor, prompts: Tensor) -> Tensor:
    """A block of TinyViT with prompts before the tokens of every window."""
    attention, side, tokens = block.attn, block.window, values.permute(0, 2, 3, 1)
    windows, padded = window_partition(tokens, side)
    count, heads = len(windows), attention.heads
    row = attention.norm(torch.cat([prompts.expand(count, -1, -1), windows.flatten(1, 2)], dim=1))
    mixed = attention.qkv(row).reshape(count, row.shape[1], heads, 3, -1).permute(3, 0, 2, 1, 4)
    bias = torch.zeros(heads, row.shape[1], row.shape[1], dtype=row.dtype)
    bias[:, len(prompts) :, len(prompts) :] = attention.attention_biases[:, attention.distances]
    seen = attend(*mixed, bias, mixed.shape[-1] ** -0.5).transpose(1, 2).flatten(2)
    seen = attention.proj(seen)[:, len(prompts) :].unflatten(1, (side, side))
    tokens = tokens + window_unpartition(seen, side, padded, tokens.shape[1:3])
    tokens = block.local_conv(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return (tokens + block.mlp(tokens)).permute(0, 3, 1, 2)


PREPEND = {sam: prepend_to_sam, hiera: prepend_to_hiera, tiny: prepend_to_tiny}


@pytest.mark.parametrize("gradients", [False, True])
def test_further_keys_and_values_are_prepended_prompts(make: Callable[[], Encoder], gradients: bool) -> None:
    plain = make()
    ours = prompted(plain)
    plain_blocks, blocks = find_blocks(plain), find_blocks(ours)
    assert len(blocks) == len(plain_blocks) >= 2
    inputs: list[Tensor] = []
    hooks = [block.register_forward_pre_hook(lambda _, given: inputs.append(given[0])) for block in blocks]
    with torch.set_grad_enabled(gradients):
        ours(images(make, 2))
        for hook in hooks:
            hook.remove()
        for block, reference, given in zip(blocks, plain_blocks, inputs, strict=True):
            found, expected = block(given), PREPEND[make](reference, given, block.attn.visual_prompts.tokens)
            assert (found - expected).abs().max() < 1e-10
            assert (found - reference(given)).abs().max() > 1e-3


def test_no_prompts_are_the_frozen_encoder(make: Callable[[], Encoder]) -> None:
    frozen = copy.deepcopy(make())
    replace_attention(frozen.image_encoder)
    without = prompted(make(), count=0)
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            assert (without(images(make, 1)) - frozen(images(make, 1))).abs().max() < 1e-12


def test_two_images_together_are_two_images_apart(make: Callable[[], Encoder]) -> None:
    ours, both = prompted(make()), images(make, 2)
    with torch.no_grad():
        assert (ours(both) - torch.cat([ours(both[:1]), ours(both[1:])])).abs().max() < 1e-12


def test_only_prompts_get_gradients(make: Callable[[], Encoder]) -> None:
    ours = prompted(make())
    ours.requires_grad_(False)
    tokens = [item.requires_grad_() for name, item in ours.named_parameters() if ".visual_prompts." in name]
    ours(images(make, 1)).square().mean().backward()
    assert len(tokens) == len(find_blocks(ours))
    # of Hiera: the channels that a block takes, the first of a stage those of the stage before
    widths = {sam: [24, 24], hiera: [8, 8, 16], tiny: [16, 16]}[make]
    assert [tuple(item.shape) for item in tokens] == [(COUNT, width) for width in widths]
    # the last block of SAM and TinyViT has later ones after it, so every prompt counts
    assert all(item.grad is not None and item.grad.abs().max() > 0 for item in tokens)
    assert sum(item.grad is not None for item in ours.parameters()) == len(tokens)


def test_prompts_can_be_in_global_layers_alone() -> None:
    for make, number in ((sam, 1), (hiera, 1)):
        ours = prompted(make(), layers="global_only")
        with_prompts = [block for block in find_blocks(ours) if getattr(block.attn, "visual_prompts", None) is not None]
        assert len(with_prompts) == number
        assert all(is_global(block) for block in with_prompts)
    with pytest.raises(ConfigError, match="no block of this image encoder attends over the whole image"):
        prompted(tiny(), layers="global_only")


def test_prompts_that_are_there_are_trained_further(make: Callable[[], Encoder]) -> None:
    ours = prompted(make())
    there = [block.attn.visual_prompts.tokens for block in find_blocks(ours)]
    assert all(one is other for one, other in zip(insert_visual_prompts(ours, COUNT), there, strict=True))
    with pytest.raises(ConfigError, match=r"visual_prompts is 4 in .* has \[3\]"):
        insert_visual_prompts(ours, 4)


def test_prompts_of_a_file_are_built_by_their_names(make: Callable[[], Encoder]) -> None:
    ours = prompted(make())
    state = {name: tensor for name, tensor in ours.state_dict().items() if ".visual_prompts." in name}
    again = copy.deepcopy(make())
    replace_attention(again.image_encoder)
    load_visual_prompts(again, state)
    again.double()
    with torch.no_grad():
        assert torch.equal(again(images(make, 1)), ours(images(make, 1)))
    name = next(iter(state))
    with pytest.raises(WeightsError, match=r"expected \(prompts, "):
        load_visual_prompts(again, {name: torch.zeros(3, 5)})
    with pytest.raises(WeightsError, match="it has no"):
        load_visual_prompts(again, {"image_encoder.elsewhere.attn.visual_prompts.tokens": torch.zeros(3, 5)})
