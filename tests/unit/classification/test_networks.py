"""Networks in the layout of their publishers, and weights files that are refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_pytorch import EfficientNet
from safetensors.torch import save_file
from torch import nn

from mammoflow.classification.classifier import Classifier
from mammoflow.classification.networks import efficientnet_b0, perceptron
from mammoflow.config.members import NoOptions
from mammoflow.errors import WeightsError


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EfficientNet]:
    """A file laid out as the published ImageNet weights are, with random values."""
    torch.manual_seed(5)
    network = EfficientNet.from_name("efficientnet-b0")
    path = tmp_path_factory.mktemp("weights") / "efficientnet-b0.pth"
    torch.save(network.state_dict(), path)
    return path, network.eval()


def test_published_weights_give_the_packages_own_features(published: tuple[Path, EfficientNet]) -> None:
    path, expected_network = published
    network = efficientnet_b0.build(NoOptions(), path, 0).eval()
    assert network.levels is not None
    mean, deviation = (torch.tensor(values).view(-1, 1, 1) for values in network.levels)
    classifier = Classifier(network, mean, deviation, 0, 0.2).eval()
    grey = torch.rand(2, 1, 64, 64)
    features: list[torch.Tensor] = []
    network.register_forward_hook(lambda _module, _inputs, output: features.append(output))
    with torch.inference_mode():
        classifier({"picture": grey})
        standard = (grey.expand(-1, 3, -1, -1) - mean) / deviation
        expected = expected_network.extract_features(standard).mean((2, 3))
    torch.testing.assert_close(features[0], expected, rtol=1e-3, atol=1e-4)


def test_without_weights_pictures_are_standardised_by_the_training_pictures() -> None:
    network = efficientnet_b0.build(NoOptions(), None, 0)
    assert network.levels is None
    inputs: list[torch.Tensor] = []
    network.register_forward_pre_hook(lambda _module, given: inputs.append(given[0]["picture"]))
    classifier = Classifier(network, torch.full((1, 1, 1), 0.4), torch.full((1, 1, 1), 0.2), 0, 0.2).eval()
    with torch.inference_mode():
        classifier({"picture": torch.full((1, 1, 32, 32), 0.6)})
    np.testing.assert_allclose(inputs[0], 1.0, rtol=1e-5)


def test_vectors_are_cut_off_at_five_deviations_and_constant_numbers_stay() -> None:
    network = perceptron.build(perceptron.Options(hidden=[4, 3]), None, 3)
    inputs: list[torch.Tensor] = []
    network.register_forward_pre_hook(lambda _module, given: inputs.append(given[0]["vector"]))
    classifier = Classifier(network, torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 0.5, 0.0]), 0, 0.0).eval()
    classifier({"vector": torch.tensor([[3.0, 200.0, 3.5]])})
    np.testing.assert_allclose(inputs[0], [[1.0, 5.0, 0.5]])


def test_feature_vectors_join_before_the_last_layer() -> None:
    network = perceptron.build(perceptron.Options(hidden=[4]), None, 2)
    classifier = Classifier(network, torch.zeros(2), torch.ones(2), 3, 0.0).eval()
    head = classifier.head[-1]
    assert head.in_features == network.width + 3
    inputs, vectors = {"vector": torch.rand(5, 2)}, torch.rand(5, 3)
    logits = classifier(inputs, vectors)
    assert logits.shape == (5,)
    with torch.no_grad():
        head.weight[:, -3:] = 0
    assert not torch.equal(classifier(inputs, vectors), logits)
    torch.testing.assert_close(classifier(inputs, vectors), classifier(inputs, vectors * 7))


def test_dense_layers_lie_between_features_and_the_last_layer() -> None:
    network = perceptron.build(perceptron.Options(hidden=[4]), None, 2)
    head = Classifier(network, torch.zeros(2), torch.ones(2), 3, 0.5, hidden=[6, 5]).head
    kinds = [type(layer).__name__ for layer in head]
    assert kinds == ["Dropout", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert [tuple(layer.weight.shape) for layer in head if isinstance(layer, nn.Linear)] == [(6, 7), (5, 6), (1, 5)]


def test_two_outputs_are_a_softmax() -> None:
    network = perceptron.build(perceptron.Options(hidden=[4]), None, 2)
    classifier = Classifier(network, torch.zeros(2), torch.ones(2), 0, 0.0, outputs=2).eval()
    inputs = {"vector": torch.rand(5, 2)}
    with torch.inference_mode():
        expected = classifier.head(network(inputs)).softmax(dim=1)[:, 1]
        torch.testing.assert_close(classifier(inputs).sigmoid(), expected)


def test_a_perceptron_with_batch_normalisation() -> None:
    network = perceptron.build(perceptron.Options(hidden=[100, 50], dropout=0.5, batch_norm=True), None, 7)
    kinds = [type(layer).__name__ for layer in network.layers]  # type: ignore[union-attr]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear", "BatchNorm1d", "ReLU"]
    assert network.width == 50


def test_missing_wrong_and_unsafe_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        efficientnet_b0.build(NoOptions(), tmp_path / "none.pth", 0)
    save_file({"_conv_stem.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="do not fit EfficientNet-B0"):
        efficientnet_b0.build(NoOptions(), tmp_path / "other.safetensors", 0)
    (tmp_path / "code.pth").write_bytes(pickle.dumps({"a": print}))
    with pytest.raises(WeightsError):
        efficientnet_b0.build(NoOptions(), tmp_path / "code.pth", 0)
