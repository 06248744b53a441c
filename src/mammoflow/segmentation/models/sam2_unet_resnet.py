"""The decoder of SAM2-UNet on a ResNet; published weights are a file in the layout of torchvision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.architectures import Architecture

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mammoflow.segmentation.protocol.automatic import AutomaticModel

DEPTHS = {"sam2_unet_resnet18": 18, "sam2_unet_resnet50": 50}
"""Layers with weights."""

ARCHITECTURES = {
    "sam2_unet_resnet18": Architecture(
        None, memory_mb=2500, precision="fp32", prompted=False, image_mb=100, training_image_mb=300
    ),
    "sam2_unet_resnet50": Architecture(
        None, memory_mb=3000, precision="fp32", prompted=False, image_mb=200, training_image_mb=600
    ),
}


def build(architecture: str, state: dict[str, Tensor] | None, digest: str, device: torch.device) -> AutomaticModel:
    """Build the model, in evaluation mode.

    Raises
    ------
    WeightsError
        If names or shapes of the weights do not fit the network.
    """
    from mammoflow.segmentation.encoders.resnet import ResNetEncoder
    from mammoflow.segmentation.networks.sam2_unet import sam2_unet

    return sam2_unet(architecture, ResNetEncoder(DEPTHS[architecture]), state, digest, device)
