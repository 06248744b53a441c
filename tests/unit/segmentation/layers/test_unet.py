"""The plain U-Net: its published size, and that it sees what it should."""

from __future__ import annotations

import pytest
import torch

from mammoflow.segmentation.layers.unet import UNet


@pytest.mark.parametrize(
    ("channels", "base_width", "outputs", "parameters"),
    [(3, 64, 1, 28_986_625), (3, 64, 2, 28_986_690), (1, 64, 1, 28_985_473), (3, 16, 1, 1_814_593)],
)
def test_size_is_that_of_the_published_layout(channels: int, base_width: int, outputs: int, parameters: int) -> None:
    with torch.device("meta"):
        network = UNet(channels, base_width, outputs)
    assert sum(tensor.numel() for tensor in network.parameters()) == parameters


def test_logits_have_the_size_of_the_input() -> None:
    assert UNet(3, 4).eval()(torch.rand(2, 3, 48, 32)).shape == (2, 1, 48, 32)


def test_images_of_a_batch_do_not_touch_each_other() -> None:
    torch.manual_seed(0)
    network, images = UNet(3, 4).eval(), torch.rand(2, 3, 32, 32)
    together = network(images)
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone)


def test_a_pixel_reaches_the_whole_map_through_the_deepest_stage() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    UNet(3, 4).eval()(image)[0, 0, 32, 32].backward()
    seen = image.grad.abs().sum(dim=(0, 1)) > 0
    assert seen[8:56, 8:56].float().mean() > 0.9


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        UNet(3, 4)(torch.rand(1, 3, 40, 32))
