"""Saliency maps of networks so small that their attribution is known exactly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mammoflow.classification.attention_crops import AttentionCrops
from mammoflow.classification.classifier import Classifier
from mammoflow.classification.network import Network
from mammoflow.classification.saliency.attribution import last_feature_map, saliency_maps
from mammoflow.config.classification import NETWORKS
from mammoflow.errors import ConfigError

ZERO, ONE = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
WEIGHTS = (2.0, -1.0)


class TwoChannels(Network):
    """Two multiples of the picture and their means over it."""

    width = 2

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(1, 2, 1, bias=False)
        self.maps.weight.data = torch.tensor(WEIGHTS).view(2, 1, 1, 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        features: Tensor = self.maps(inputs["picture"])
        return features.mean(dim=(2, 3))


class EachPixel(Network):
    """A weight for each pixel: what a picture of 2 x 2 pixels adds to the logit is known."""

    width = 1

    def __init__(self, weights: list[list[float]]) -> None:
        super().__init__()
        self.pixels = torch.tensor(weights)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return (inputs["picture"][:, 0] * self.pixels).sum(dim=(1, 2))[:, None]


def classifier_of(network: Network, head: list[float], vectors: int = 0, mean: float = 0.0) -> Classifier:
    classifier = Classifier(network, ZERO + mean, ONE, vectors, 0.0)
    classifier.head[1].weight.data = torch.tensor([head + [7.0] * vectors])
    return classifier.eval()


def test_grad_cam_is_the_weighted_sum_of_the_last_feature_map() -> None:
    pictures = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0)) - 0.3
    classifier = classifier_of(TwoChannels(), [3.0, 1.0])
    maps = saliency_maps(classifier, pictures, "grad_cam", "none", 8)
    # the gradient of the logit at each of the 16 pixels of a channel is the channel's weight in the head over 16
    expected = ((3.0 * WEIGHTS[0] + 1.0 * WEIGHTS[1]) / 16 * pictures[:, 0]).clamp(min=0)
    assert torch.allclose(maps, expected, atol=1e-6)
    assert not torch.allclose(maps, torch.zeros(()))


def test_what_speaks_against_malignancy_is_zero() -> None:
    classifier = classifier_of(TwoChannels(), [-1.0, 1.0])
    assert saliency_maps(classifier, torch.rand(2, 1, 4, 4), "grad_cam", "none", 8).max() == 0


def test_integrated_gradients_of_a_sum_are_its_terms() -> None:
    weights = [[1.0, 2.0], [-3.0, 4.0]]
    classifier = classifier_of(EachPixel(weights), [0.5], mean=0.25)
    picture = torch.tensor([[[[0.5, 0.25], [0.75, 1.0]]]])
    maps = saliency_maps(classifier, picture, "integrated_gradients", "none", 8)
    # weight x 0.5 x distance from the mean; the third is negative, the second at the mean
    assert torch.allclose(maps, torch.tensor([[[0.125, 0.0], [0.0, 1.5]]]), atol=1e-5)


def test_maps_are_averaged_over_the_flips_of_the_predictions() -> None:
    classifier = classifier_of(EachPixel([[1.0, 3.0], [0.0, 0.0]]), [1.0])
    plain, flipped = (
        saliency_maps(classifier, torch.ones(1, 1, 2, 2), "integrated_gradients", flips, 8)
        for flips in ("none", "horizontal")
    )
    assert torch.allclose(plain, torch.tensor([[[1.0, 3.0], [0.0, 0.0]]]), atol=1e-5)
    assert torch.allclose(flipped, torch.tensor([[[2.0, 2.0], [0.0, 0.0]]]), atol=1e-5)


def test_feature_vectors_change_no_map_of_a_linear_head() -> None:
    pictures = torch.rand(2, 1, 4, 4)
    alone, joined = (classifier_of(TwoChannels(), [3.0, 1.0], vectors) for vectors in (0, 2))
    for method in ("grad_cam", "integrated_gradients"):
        maps = [saliency_maps(classifier, pictures, method, "none", 4) for classifier in (alone, joined)]  # type: ignore[arg-type]
        assert torch.allclose(*maps)


def test_a_grey_picture_goes_with_three_levels_of_published_weights() -> None:
    class Colour(TwoChannels):
        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            return super().forward({"picture": inputs["picture"].mean(dim=1, keepdim=True)})

    levels = torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    classifier = Classifier(Colour(), levels, torch.ones(3, 1, 1), 0, 0.0).eval()
    classifier.head[1].weight.data = torch.tensor([[1.0, 0.0]])
    maps = saliency_maps(classifier, torch.full((1, 1, 2, 2), 0.8), "integrated_gradients", "none", 4)
    assert torch.allclose(maps, torch.full((1, 2, 2), 2.0 * (0.8 - 0.3) / 4), atol=1e-5)


@pytest.mark.parametrize("crops", [1, 4])
def test_grad_cam_of_crops_is_of_the_whole_picture(crops: int) -> None:
    network = AttentionCrops(8, crops, 0.25, 0.05, 0.01)
    classifier = Classifier(network, ZERO, ONE, 0, 0.0).eval()
    pictures = torch.rand(3, 1, 64, 64)
    module = last_feature_map(network, lambda shown: classifier({"picture": shown}), pictures[:1])
    assert module is network.whole
    maps = saliency_maps(classifier, pictures, "grad_cam", "all", 4)
    assert maps.shape == (3, 64, 64)
    assert torch.isfinite(maps).all()


def test_a_network_without_a_feature_map_is_refused_for_grad_cam() -> None:
    classifier = classifier_of(EachPixel([[1.0, 2.0], [3.0, 4.0]]), [1.0])
    with pytest.raises(ConfigError, match=r"EachPixel has no feature map .*integrated_gradients"):
        saliency_maps(classifier, torch.ones(1, 1, 2, 2), "grad_cam", "none", 4)


@pytest.mark.parametrize(("name", "channels"), [("resnet_small", 128), ("efficientnet_lite0", 1280)])
def test_the_last_feature_map_of_a_network_has_its_features(name: str, channels: int) -> None:
    member = NETWORKS.load(name)
    network = member.build(NETWORKS.options(name)(), None, 0)
    classifier = Classifier(network, ZERO, ONE, 0, 0.0).eval()
    picture = torch.rand(1, 1, 64, 64)
    shapes = []
    module = last_feature_map(network, lambda shown: classifier({"picture": shown}), picture)
    module.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape)))
    classifier({"picture": picture})
    assert shapes[-1] == (1, channels, 2, 2)
    maps = saliency_maps(classifier, torch.rand(2, 1, 64, 64), "grad_cam", "all", 4)
    assert maps.shape == (2, 64, 64)
    assert torch.isfinite(maps).all()
