"""The usual Keras U-Net as an automatic model, which sees the grey levels once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mammoflow.segmentation.layers.unet_keras import KerasUNet
from mammoflow.segmentation.networks.grey_levels import GreyLevelModel


class KerasUNetModel(GreyLevelModel):
    """The usual Keras U-Net."""

    network: KerasUNet

    def preprocess(self, image: npt.NDArray[np.uint16]) -> Tensor:
        """Turn an image (rows, columns) on the network's grid into one channel (1, rows, columns)."""
        return super().preprocess(image)[:1]
