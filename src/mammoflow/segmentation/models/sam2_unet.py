"""SAM2-UNet: SAM 2's Hiera with an adapter before each block, and a decoder of receptive-field blocks.

Xiong et al., SAM2-UNet, 2024 (Visual Intelligence 2026); see docs/segmentation-automatic.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mammoflow.config.architectures import Architecture

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mammoflow.segmentation.protocol.automatic import AutomaticModel

SIZES = ("tiny", "small", "base_plus", "large")

Layout = tuple[str, Literal["plain", "multi_scale"]]

LAYOUTS: dict[str, Layout] = {
    **{f"sam2_unet_{size}": (size, "plain") for size in SIZES},
    **{f"sam2_unet_{size}_multi_scale": (size, "multi_scale") for size in SIZES},
}
"""Size of Hiera, and kind of its adapters."""

MEMORY_MB = {"tiny": 3500, "small": 4500, "base_plus": 5000, "large": 6000}

ARCHITECTURES = {
    name: Architecture(
        None, memory_mb=MEMORY_MB[size], precision="fp32", prompted=False, image_mb=300, training_image_mb=700
    )
    for name, (size, _) in LAYOUTS.items()
}


def build(architecture: str, state: dict[str, Tensor] | None, digest: str, device: torch.device) -> AutomaticModel:
    """Build SAM2-UNet, in evaluation mode.

    Raises
    ------
    WeightsError
        If names or shapes of the weights do not fit the network.
    """
    from mammoflow.segmentation.encoders.hiera import HieraEncoder
    from mammoflow.segmentation.networks.sam2_unet import sam2_unet

    return sam2_unet(architecture, HieraEncoder(*LAYOUTS[architecture]), state, digest, device, published_frozen=True)
