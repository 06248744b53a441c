"""The decoder of SAM2-UNet on VGG-16."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.architectures import Architecture
from mammoflow.weights.sources.vgg16 import VGG16

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mammoflow.segmentation.protocol.automatic import AutomaticModel

ARCHITECTURES = {
    "sam2_unet_vgg16": Architecture(
        None, memory_mb=3000, precision="fp32", prompted=False, image_mb=200, training_image_mb=600
    )
}

ENCODER_WEIGHTS = VGG16


def build(architecture: str, state: dict[str, Tensor] | None, digest: str, device: torch.device) -> AutomaticModel:
    """Build the model, in evaluation mode.

    Raises
    ------
    WeightsError
        If names or shapes of the weights do not fit the network.
    """
    from mammoflow.segmentation.encoders.vgg16 import Vgg16Encoder
    from mammoflow.segmentation.networks.sam2_unet import sam2_unet

    return sam2_unet(architecture, Vgg16Encoder(), state, digest, device)
