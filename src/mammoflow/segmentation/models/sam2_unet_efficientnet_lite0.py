"""The decoder of SAM2-UNet on EfficientNet-Lite0, an encoder that saw photographs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.architectures import Architecture
from mammoflow.weights.sources.efficientnet_lite0 import EFFICIENTNET_LITE0

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mammoflow.segmentation.protocol.automatic import AutomaticModel

ARCHITECTURES = {
    "sam2_unet_efficientnet_lite0": Architecture(
        None, memory_mb=2500, precision="fp32", prompted=False, image_mb=100, training_image_mb=300
    )
}

ENCODER_WEIGHTS = EFFICIENTNET_LITE0


def build(architecture: str, state: dict[str, Tensor] | None, digest: str, device: torch.device) -> AutomaticModel:
    """Build the model, in evaluation mode.

    Raises
    ------
    WeightsError
        If names or shapes of the weights do not fit the network.
    """
    from mammoflow.segmentation.encoders.efficientnet_lite0 import EfficientNetLite0Encoder
    from mammoflow.segmentation.networks.sam2_unet import sam2_unet

    return sam2_unet(architecture, EfficientNetLite0Encoder(), state, digest, device)
