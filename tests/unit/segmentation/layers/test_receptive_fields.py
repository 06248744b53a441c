"""The decoder of SAM2-UNet, computed once more with torch's functions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.segmentation.layers.receptive_fields import ReceptiveFieldBlock, ReceptiveFieldDecoder


def normalised(part: nn.Module, values: Tensor, padding: tuple[int, int], dilation: int = 1) -> Tensor:
    """A convolution and its batch normalisation in evaluation mode, without an activation."""
    convolution, norm = part[0], part[1]  # type: ignore[index]
    result = functional.conv2d(values, convolution.weight, padding=padding, dilation=dilation)
    return functional.batch_norm(result, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def shaken(module: nn.Module) -> nn.Module:
    """Give batch normalisation statistics that are not those of a new one."""
    torch.manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            nn.init.normal_(layer.bias)
    return module.eval()


def test_a_block_has_branches_of_3_5_and_7_pixels_with_as_large_dilations() -> None:
    block = shaken(ReceptiveFieldBlock(6, 4))
    values = torch.randn(2, 6, 9, 11)
    parts = [normalised(block.branches[0], values, (0, 0))]
    for branch, reach in zip(list(block.branches)[1:], (3, 5, 7), strict=True):
        inner = normalised(branch[0], values, (0, 0))  # type: ignore[index]
        inner = normalised(branch[1], inner, (0, reach // 2))  # type: ignore[index]
        inner = normalised(branch[2], inner, (reach // 2, 0))  # type: ignore[index]
        parts.append(normalised(branch[3], inner, (reach, reach), reach))  # type: ignore[index]
    joined = normalised(block.join, torch.cat(parts, dim=1), (1, 1))
    expected = functional.relu(joined + normalised(block.residual, values, (0, 0)))
    torch.testing.assert_close(block(values), expected)


def test_the_decoder_goes_from_the_coarsest_map_to_the_finest_with_an_output_at_each_step() -> None:
    decoder = shaken(ReceptiveFieldDecoder((5, 6, 7, 8)))
    maps = [torch.randn(1, channels, side, side) for channels, side in ((5, 16), (6, 8), (7, 4), (8, 2))]
    reduced = [block(each) for block, each in zip(decoder.blocks, maps, strict=True)]
    values = reduced[3]
    outputs = decoder(maps)
    assert [tuple(each.shape[-2:]) for each in outputs] == [(4, 4), (8, 8), (16, 16)]
    for step, output in enumerate(outputs):
        larger = functional.interpolate(values, scale_factor=2, mode="bilinear", align_corners=True)
        values = decoder.up[step](torch.cat([reduced[2 - step], larger], dim=1))
        torch.testing.assert_close(output, decoder.heads[step](values))
