"""The plain U-Net as an automatic model."""

from __future__ import annotations

from mammoflow.segmentation.layers.unet import UNet
from mammoflow.segmentation.networks.grey_levels import GreyLevelModel


class UNetModel(GreyLevelModel):
    """The plain U-Net."""

    network: UNet
