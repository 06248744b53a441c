"""The decoder of SAM2-UNet on LiteMedSAM's TinyViT, an encoder that saw medical images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.architectures import Architecture
from mammoflow.segmentation.models.lite_medsam import ARCHITECTURES as LITE_MEDSAM

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mammoflow.segmentation.protocol.automatic import AutomaticModel

ARCHITECTURES = {
    "sam2_unet_tiny_vit": Architecture(
        None, memory_mb=3000, precision="fp32", prompted=False, image_mb=250, training_image_mb=1500
    )
}

ENCODER_WEIGHTS = LITE_MEDSAM["lite_medsam"].source


def build(architecture: str, state: dict[str, Tensor] | None, digest: str, device: torch.device) -> AutomaticModel:
    """Build the model, in evaluation mode.

    Raises
    ------
    WeightsError
        If names or shapes of the weights do not fit the network.
    """
    from mammoflow.segmentation.encoders.tiny_vit import TinyVitEncoder
    from mammoflow.segmentation.networks.sam2_unet import sam2_unet

    return sam2_unet(architecture, TinyVitEncoder(), state, digest, device)
