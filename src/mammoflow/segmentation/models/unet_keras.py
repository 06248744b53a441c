"""The U-Net that is usual in Keras, as published on breast ultrasound; see docs/segmentation-automatic.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.architectures import Architecture

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mammoflow.segmentation.protocol.automatic import AutomaticModel

# As for the other U-Nets, masks are computed in fp32.
ARCHITECTURES = {
    # As published: 31,030,593 parameters.
    "unet_keras": Architecture(
        None, memory_mb=4000, precision="fp32", prompted=False, image_mb=400, training_image_mb=1000, channels=1
    ),
    # A sixteenth of the parameters and of the time, for a CPU.
    "unet_keras_16": Architecture(
        None, memory_mb=3000, precision="fp32", prompted=False, image_mb=100, training_image_mb=250, channels=1
    ),
}

BASE_WIDTHS = {"unet_keras": 64, "unet_keras_16": 16}
"""Channels of the finest level of each architecture."""


def build(architecture: str, state: dict[str, Tensor] | None, digest: str, device: torch.device) -> AutomaticModel:
    """Build a Keras U-Net, in evaluation mode.

    Raises
    ------
    WeightsError
        If names or shapes of the weights do not fit the network.
    """
    import torch

    from mammoflow.segmentation.layers.unet_keras import KerasUNet
    from mammoflow.segmentation.networks.unet_keras import KerasUNetModel
    from mammoflow.weights.checkpoint import load_state

    network = KerasUNet(base_width=BASE_WIDTHS[architecture])
    if state is not None:
        load_state(network, state, architecture, architecture)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return KerasUNetModel(architecture, network.eval(), digest)
