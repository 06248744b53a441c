"""Encoders behind one interface: strides, published weights, adapters, numbers of parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from sam2.modeling.backbones import hieradet
from torch import nn
from torchvision.models import resnet18

from mammoflow.errors import ConfigError, WeightsError
from mammoflow.segmentation.encoders import hiera
from mammoflow.segmentation.encoders.efficientnet_lite0 import EfficientNetLite0Encoder
from mammoflow.segmentation.encoders.hiera import BlockAdapter, HieraEncoder, MultiScaleAdapter
from mammoflow.segmentation.encoders.interface import Encoder
from mammoflow.segmentation.encoders.resnet import ResNetEncoder
from mammoflow.segmentation.encoders.tiny_vit import TinyVitEncoder
from mammoflow.segmentation.encoders.vgg16 import Vgg16Encoder
from mammoflow.segmentation.layers.receptive_fields import ReceptiveFieldDecoder
from mammoflow.segmentation.models import lite_medsam
from mammoflow.weights.checkpoint import read_state
from mammoflow.weights.sources.efficientnet_lite0 import EFFICIENTNET_LITE0

from ....helpers.thin_networks import HIERA

ENCODERS: dict[str, Callable[[], Encoder]] = {
    "hiera": partial(HieraEncoder, "thin", "multi_scale"),
    "tiny_vit": TinyVitEncoder,
    "efficientnet_lite0": EfficientNetLite0Encoder,
    "vgg16": Vgg16Encoder,
    "resnet18": partial(ResNetEncoder, 18),
}


@pytest.fixture(autouse=True)
def thin_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a Hiera with few channels."""
    monkeypatch.setitem(hiera.LAYOUTS, "thin", HIERA)


def count(parameters: list[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_gives_four_maps_at_its_strides(name: str) -> None:
    encoder = ENCODERS[name]().eval()
    with torch.no_grad():
        maps = encoder(torch.rand(2, 3, 64, 96))
    assert [tuple(each.shape) for each in maps] == [
        (2, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(encoder.channels, (4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize(
    ("size", "trained", "trunk"),
    [
        ("tiny", 2_587_395, 26_849_472),
        ("small", 2_687_363, 33_947_328),
        ("base_plus", 3_050_419, 68_675_712),
        ("large", 4_269_747, 212_149_296),
    ],
)
def test_sam2_unet_trains_as_many_numbers_as_published(
    size: str, trained: int, trunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The package reads values of a tensor while it builds, which a tensor without values does not have.
    monkeypatch.setattr(hieradet.torch, "linspace", partial(torch.linspace, device="cpu"))
    with torch.device("meta"):
        plain, scales = HieraEncoder(size, "plain"), HieraEncoder(size, "multi_scale")
        decoder = ReceptiveFieldDecoder(plain.channels)
    assert count([*plain.added_parameters(), *decoder.parameters()]) == trained
    assert count(list(plain.pretrained.parameters())) == trunk
    # Three depth-wise convolutions of 1, 9 and 25 weights in each of 32 channels.
    more = count(scales.added_parameters()) - count(plain.added_parameters())
    assert more == 32 * 35 * len(plain.adapters)


@pytest.mark.parametrize("kind", ["plain", "multi_scale"])
def test_adapters_leave_the_trunk_as_it_is_at_first(kind: str) -> None:
    encoder = HieraEncoder("thin", kind).eval()  # type: ignore[arg-type]
    pictures = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for one, other in zip(encoder(pictures), encoder.trunk(pictures), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("adapter", [BlockAdapter, MultiScaleAdapter])
def test_an_adapter_adds_a_bottleneck_with_two_activations(adapter: type[BlockAdapter]) -> None:
    torch.manual_seed(0)
    one = adapter(16)
    nn.init.normal_(one.up.weight)
    tokens = torch.randn(2, 5, 6, 16)
    inner = one.down(tokens)
    if isinstance(one, MultiScaleAdapter):
        grid = inner.permute(0, 3, 1, 2)
        inner = sum(scale(grid) for scale in one.scales).permute(0, 2, 3, 1)  # type: ignore[union-attr]
    gelu = nn.functional.gelu
    torch.testing.assert_close(one(tokens), tokens + gelu(one.up(gelu(inner))))


def test_a_trunk_is_found_among_the_weights_of_sam_2() -> None:
    torch.manual_seed(0)
    first, second = HieraEncoder("thin", "plain"), HieraEncoder("thin", "plain")
    state = {f"image_encoder.trunk.{name}": tensor for name, tensor in first.trunk.state_dict().items()}
    second.load_pretrained({**state, "memory.weight": torch.zeros(1)}, "sam2")
    assert torch.equal(second.trunk.blocks[3].attn.qkv.weight, first.trunk.blocks[3].attn.qkv.weight)
    with pytest.raises(WeightsError, match="do not fit"):
        HieraEncoder("tiny", "plain").load_pretrained(state, "sam2")


def test_published_weights_of_packages_fit() -> None:
    efficientnet, source = EFFICIENTNET_LITE0.installed, lite_medsam.ARCHITECTURES["lite_medsam"].source
    assert efficientnet is not None
    assert source is not None
    assert source.installed is not None
    encoder = EfficientNetLite0Encoder()
    encoder.load_pretrained(read_state(efficientnet), "lite0")
    assert torch.equal(encoder._conv_stem.weight, read_state(efficientnet)["_conv_stem.weight"])
    medical = TinyVitEncoder()
    medical.load_pretrained(read_state(source.installed), "lite_medsam")
    state = read_state(source.installed)
    assert torch.equal(medical.image_encoder.neck[0].weight, state["image_encoder.neck.0.weight"])


def test_a_resnet_has_the_maps_of_torchvision() -> None:
    torch.manual_seed(0)
    reference, encoder = resnet18().eval(), ResNetEncoder(18).eval()
    encoder.load_pretrained(reference.state_dict(), "resnet18")
    pictures = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        pooled = encoder(pictures)[-1].mean(dim=(2, 3))
        torch.testing.assert_close(reference.fc(pooled), reference(pictures))


def test_prompts_are_refused_where_there_are_no_layers_of_tokens() -> None:
    with pytest.raises(ConfigError, match="no plain vision transformer"):
        ResNetEncoder(18).add_prompts(5)
