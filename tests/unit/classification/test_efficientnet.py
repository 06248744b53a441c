from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_pytorch import EfficientNet
from safetensors.torch import save_file

from mammoflow.classification.efficientnet import PictureClassifier, augmentation, backbone
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
    path, network = published
    pictures = np.random.default_rng(0).integers(0, 65535, (2, 64, 64)).astype(np.uint16)
    classifier = PictureClassifier(
        pictures, np.arange(2), None, np.arange(2), str(path), 0.2, augmentation(15, 0.1)
    ).eval()
    with torch.inference_mode():
        grey = torch.from_numpy(pictures / 65535).float()[:, None].expand(-1, 3, -1, -1)
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        expected = network.extract_features((grey - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)).mean((2, 3))
        found = classifier.backbone(classifier.inputs(np.arange(2))).flatten(1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_without_weights_grey_levels_are_standardised_by_training_pictures() -> None:
    pictures = np.zeros((3, 32, 32), np.uint16)
    pictures[0], pictures[1], pictures[2] = 20000, 40000, 65535
    classifier = PictureClassifier(pictures, np.arange(3), None, np.arange(2), "", 0.2, augmentation(0, 0)).eval()
    inputs = classifier.inputs(np.arange(3))
    np.testing.assert_allclose(inputs[:, 0, 0, 0], [-1, 1, (65535 - 30000) / 10000], rtol=1e-4)
    np.testing.assert_array_equal(inputs[:, 0], inputs[:, 2])


def test_augmentation_keeps_size_and_range_and_differs_between_pictures() -> None:
    torch.manual_seed(0)
    picture = torch.linspace(0, 1, 32 * 32).reshape(1, 32, 32)
    transform = augmentation(15, 0.2)
    results = [transform(picture) for _ in range(6)]
    assert all(result.shape == (1, 32, 32) and result.min() >= 0 and result.max() <= 1 for result in results)
    assert len({result.numpy().tobytes() for result in results}) == 6


def test_missing_wrong_and_unsafe_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        backbone(str(tmp_path / "none.pth"))
    save_file({"_conv_stem.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="do not fit EfficientNet-B0"):
        backbone(str(tmp_path / "other.safetensors"))
    (tmp_path / "code.pth").write_bytes(pickle.dumps({"a": print}))
    with pytest.raises(WeightsError):
        backbone(str(tmp_path / "code.pth"))
