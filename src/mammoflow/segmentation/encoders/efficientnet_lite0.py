"""EfficientNet-Lite0 as an encoder: the last map of each stride (Tan and Le, EfficientNet, ICML 2019)."""

from __future__ import annotations

from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

from mammoflow.segmentation.encoders.interface import Encoder, below, without

BATCH_NORM_MOMENTUM = 0.9
"""Kept share of the running statistics at each step."""

WIDTH = 1.0
"""Factor of the published numbers of channels."""

LAST_BLOCKS = (2, 4, 10, 15)
"""The last of the 16 blocks at each of the four strides."""


class EfficientNetLite0Encoder(Encoder):
    """The convolutional blocks without the head of the classifier.

    Padding is TensorFlow's `SAME` for pictures of every size, as in the training of the published weights.
    """

    levels = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)

    def __init__(self) -> None:
        super().__init__()
        options = {"image_size": None, "dropout_rate": 0.0, "batch_norm_momentum": BATCH_NORM_MOMENTUM}
        whole = EfficientNet.from_name("efficientnet-lite0", width_coefficient=WIDTH, **options)
        self._conv_stem, self._bn0, self._swish = whole._conv_stem, whole._bn0, nn.ReLU6()
        self._blocks = whole._blocks
        self.channels = tuple(whole._blocks[number]._project_conv.out_channels for number in LAST_BLOCKS)

    def chosen_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the blocks among the weights of the classifier."""
        return without(below(state, ("encoder.",)), ("_conv_head.", "_bn1.", "_fc."))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Return the output of the last block at each stride."""
        values = self._swish(self._bn0(self._conv_stem(pictures)))
        maps = []
        for number, block in enumerate(self._blocks):
            values = block(values)
            if number in LAST_BLOCKS:
                maps.append(values)
        return maps
