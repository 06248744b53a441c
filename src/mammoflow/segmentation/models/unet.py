"""The plain U-Net without prompts, in mmsegmentation's layout UNet-S5-D16; see docs/segmentation-automatic.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.architectures import Architecture

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mammoflow.segmentation.protocol.automatic import AutomaticModel

# In bf16 some maps of phantoms, cut at their threshold, had a Dice of 0.989 with those in fp32.
ARCHITECTURES = {
    # As published: 28,986,625 parameters.
    "unet": Architecture(None, memory_mb=4000, precision="fp32", prompted=False, image_mb=400, training_image_mb=1000),
    # A sixteenth of the parameters and of the time, for a CPU.
    "unet_16": Architecture(
        None, memory_mb=3000, precision="fp32", prompted=False, image_mb=100, training_image_mb=250
    ),
}

BASE_WIDTHS = {"unet": 64, "unet_16": 16}
"""Channels of the finest stage of each architecture."""


def build(architecture: str, state: dict[str, Tensor] | None, digest: str, device: torch.device) -> AutomaticModel:
    """Build a U-Net, in evaluation mode.

    Raises
    ------
    WeightsError
        If names or shapes of the weights do not fit the network.
    """
    import torch

    from mammoflow.segmentation.layers.unet import UNet
    from mammoflow.segmentation.networks.unet import UNetModel
    from mammoflow.weights.checkpoint import load_state

    network = UNet(base_width=BASE_WIDTHS[architecture])
    if state is not None:
        load_state(network, state, architecture, architecture)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return UNetModel(architecture, network.eval(), digest)
