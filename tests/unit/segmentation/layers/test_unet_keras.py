"""The usual Keras U-Net: its published size, and that it sees what it should."""

from __future__ import annotations

import pytest
import torch

from mammoflow.segmentation.layers.unet_keras import KerasUNet
from mammoflow.segmentation.models.unet_keras import BASE_WIDTHS


@pytest.mark.parametrize(
    ("channels", "base_width", "parameters"),
    [(1, BASE_WIDTHS["unet_keras"], 31_030_593), (1, BASE_WIDTHS["unet_keras_16"], 1_940_817)],
)
def test_size_is_that_of_the_published_layout(channels: int, base_width: int, parameters: int) -> None:
    with torch.device("meta"):
        network = KerasUNet(channels, base_width)
    assert sum(tensor.numel() for tensor in network.parameters()) == parameters


def test_a_pixel_sees_far_through_the_deepest_level_and_signals_do_not_fade() -> None:
    torch.manual_seed(0)
    network = KerasUNet(1, 4)
    image = torch.randn(1, 1, 64, 64, requires_grad=True)
    logits = network(image)
    assert logits.shape == (1, 1, 64, 64)
    assert 0.1 < float(logits.detach().std()) < 10
    logits[0, 0, 32, 32].backward()
    assert image.grad is not None
    # dead ReLUs of a network this thin hide some pixels
    assert (image.grad[0, 0, 8:56, 8:56] != 0).float().mean() > 0.5


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        KerasUNet(1, 2)(torch.rand(1, 1, 40, 32))
