"""The network of crops by attention: where it cuts, what it pools, and its loss by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mammoflow.classification.attention_crops import AttentionCrops


def network(**changes: float) -> AttentionCrops:
    torch.manual_seed(0)
    values = {"width": 8, "crops": 2, "crop_share": 0.25, "top_share": 0.05, "sparsity": 0.5, **changes}
    return AttentionCrops(**values)  # type: ignore[arg-type]


def test_crops_are_cut_where_the_map_is_largest_and_not_twice_at_one_place() -> None:
    built = network()
    saliency = torch.zeros(1, 1, 8, 8)
    saliency[0, 0, 0:2, 0:2] = 0.9
    saliency[0, 0, 5:7, 6:8] = 0.6
    assert built.places(saliency, 32, (128, 128)).tolist() == [[[0, 0], [80, 96]]]
    picture = torch.arange(128.0 * 128).reshape(1, 1, 128, 128)
    cut = built.cut(picture, saliency)
    assert cut.shape == (1, 2, 1, 32, 32)
    assert float(cut[0, 1, 0, 0, 0]) == 80 * 128 + 96


def test_the_map_is_pooled_over_its_largest_values() -> None:
    saliency = torch.zeros(2, 1, 10, 10)
    saliency[0, 0, 3, :5] = torch.tensor([0.1, 0.9, 0.8, 0.7, 0.5])
    assert network().pooled(saliency).tolist() == pytest.approx([3.0 / 5, 0.0])


def test_map_and_crops_have_losses_of_their_own_in_training_alone() -> None:
    built, labels = network(), torch.tensor([1.0, 0.0])
    pictures = {"picture": torch.randn(2, 1, 64, 64)}
    features = built(pictures)
    assert features.shape == (2, built.width)
    loss = built.further_loss(labels, torch.tensor(3.0))
    assert built._seen is not None
    saliency, probability, crops = (tensor.detach() for tensor in built._seen)
    p = [float(value) for value in probability]
    q = [1 / (1 + math.exp(-float(value))) for value in crops]
    by_hand = sum((-3 * math.log(each[0]) - math.log(1 - each[1])) / 2 for each in (p, q))
    assert float(loss.detach()) == pytest.approx(by_hand + 0.5 * float(saliency.mean()), rel=1e-4)
    loss.backward()
    assert built.saliency.weight.grad is not None
    assert float(built.saliency.weight.grad.abs().sum()) > 0
    built.eval()
    built(pictures)
    assert float(built.further_loss(labels, torch.tensor(3.0))) == 0


def test_a_map_near_1_has_finite_features_and_losses_in_half_precision() -> None:
    built, pictures = network(), {"picture": torch.randn(2, 1, 64, 64)}
    torch.nn.init.constant_(built.saliency.bias, 7.0)
    expected = built(pictures).detach()[:, -2].tolist()
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        features = built(pictures)
        loss = built.further_loss(torch.tensor([1.0, 0.0]), torch.tensor(1.0))
    assert bool(torch.isfinite(features).all())
    assert features.detach()[:, -2].tolist() == pytest.approx(expected, abs=0.1)
    loss.backward()
    assert all(bool(torch.isfinite(each.grad).all()) for each in built.parameters() if each.grad is not None)
