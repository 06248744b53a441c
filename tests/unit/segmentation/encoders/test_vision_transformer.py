"""SETR against timm and mmsegmentation's layout: values, numbers of parameters, visual prompts."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from mammoflow.errors import ConfigError
from mammoflow.segmentation.encoders.vision_transformer import VisionTransformer, VitLayout
from mammoflow.segmentation.layers.progressive_upsampling import ProgressiveUpsampling
from mammoflow.segmentation.models.setr import LAYOUTS

THIN = VitLayout(32, 2, 2, 64)


def count(parameters: list[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def test_setr_and_its_prompts_have_as_many_numbers_as_published() -> None:
    sizes, width = LAYOUTS["setr_large"]
    with torch.device("meta"):
        encoder, decoder = VisionTransformer(VitLayout(*sizes)), ProgressiveUpsampling(1024, width)
    assert count(list(encoder.parameters())) == 303_299_584
    assert count([*encoder.parameters(), *decoder.parameters()]) == 307_432_705
    with torch.device("meta"):
        encoder.add_prompts(50)
    assert count([*encoder.added_parameters(), *decoder.parameters()]) == 5_361_921


def test_the_encoder_gives_timms_values_with_timms_weights() -> None:
    torch.manual_seed(0)
    reference = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2).eval()
    encoder = VisionTransformer(VitLayout(192, 2, 3, 64)).eval()
    encoder.load_pretrained(reference.state_dict(), "timm")
    pictures = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = reference.forward_intermediates(pictures, norm=False, intermediates_only=True)[-1]
        torch.testing.assert_close(encoder(pictures)[0], expected)


def test_the_decoder_is_four_convolutions_and_four_upsamplings() -> None:
    torch.manual_seed(0)
    decoder = ProgressiveUpsampling(32, 8).eval()
    values = torch.randn(2, 32, 3, 4)
    expected = functional.layer_norm(
        values.permute(0, 2, 3, 1), (32,), decoder.norm.weight, decoder.norm.bias, 1e-6
    ).permute(0, 3, 1, 2)
    for step in decoder.convolutions:
        convolved = functional.conv2d(expected, step[0].weight, padding=1)  # type: ignore[index]
        standardised = (convolved - step[1].running_mean[:, None, None]) / (  # type: ignore[index]
            step[1].running_var[:, None, None] + step[1].eps  # type: ignore[index]
        ).sqrt()
        expected = functional.interpolate(standardised.relu(), scale_factor=2, mode="bilinear", align_corners=False)
    expected = functional.conv2d(expected, decoder.head.weight, decoder.head.bias)
    (logits,) = decoder([values])
    assert logits.shape == (2, 1, 48, 64)
    torch.testing.assert_close(logits, expected)


def test_prompts_are_put_before_the_patches_of_each_layer_and_taken_away_after_it() -> None:
    torch.manual_seed(0)
    encoder = VisionTransformer(THIN).eval()
    encoder.add_prompts(3)
    pictures = torch.randn(2, 3, 64, 64)
    assert encoder.prompts is not None
    with torch.no_grad():
        patches = encoder.patch_embed(pictures).flatten(2).transpose(1, 2) + encoder.pos_embed[:, 1:]
        values = torch.cat([(encoder.cls_token + encoder.pos_embed[:, :1]).expand(2, -1, -1), patches], dim=1)
        for number, block in enumerate(encoder.blocks):
            longer = torch.cat([values[:, :1], encoder.prompts[number].expand(2, -1, -1), values[:, 1:]], dim=1)
            values = block(longer)[:, [0, *range(4, 20)]]
        torch.testing.assert_close(encoder(pictures)[0], values[:, 1:].transpose(1, 2).reshape(2, 32, 4, 4))


def test_prompts_of_a_picture_do_not_reach_another_one() -> None:
    encoder = VisionTransformer(THIN).eval()
    encoder.add_prompts(5)
    pictures = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        alone = torch.cat([encoder(pictures[:1])[0], encoder(pictures[1:])[0]])
        torch.testing.assert_close(encoder(pictures)[0], alone)


def test_prompts_begin_within_the_published_limit_and_stay_when_weights_are_loaded() -> None:
    encoder = VisionTransformer(THIN)
    encoder.add_prompts(50)
    assert encoder.prompts is not None
    before = encoder.prompts.detach().clone()
    limit = (6 / (3 * 16 * 16 + 32)) ** 0.5
    assert 0.9 * limit < before.abs().max() <= limit
    encoder.load_pretrained(VisionTransformer(THIN).state_dict(), "other")
    assert torch.equal(encoder.prompts, before)
    encoder.add_prompts(50)
    assert torch.equal(encoder.prompts, before)
    with pytest.raises(ConfigError, match="has 50; expected the same number"):
        encoder.add_prompts(5)


def test_positions_of_another_side_are_interpolated() -> None:
    encoder = VisionTransformer(THIN).eval()
    assert encoder(torch.randn(1, 3, 96, 32))[0].shape == (1, 32, 6, 2)
    other = VisionTransformer(VitLayout(32, 2, 2, 128))
    encoder.load_pretrained(other.state_dict(), "larger")
    grid = other.pos_embed[:, 1:].reshape(1, 8, 8, 32).permute(0, 3, 1, 2)
    halved = functional.interpolate(grid, size=(4, 4), mode="bilinear", align_corners=False)
    torch.testing.assert_close(encoder.pos_embed[:, 1:], halved.flatten(2).transpose(1, 2))
