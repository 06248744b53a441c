"""The maps of a frozen encoder, computed once for each image that comes unchanged in every epoch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mammoflow.segmentation.networks.encoder_decoder import EncoderDecoder


class FrozenMaps:
    """Keeps the maps of images in memory, so that an epoch after the first costs the decoder alone.

    An image is encoded alone, so that its maps do not depend on the batch: a training that is resumed then has those of
    an unbroken one.

    Parameters
    ----------
    network
        A network whose encoder is frozen.
    """

    def __init__(self, network: EncoderDecoder) -> None:
        self.network = network
        self._maps: dict[int, list[Tensor]] = {}

    def outputs(self, inputs: Tensor, rows: Sequence[int]) -> list[Tensor]:
        """Return the logits of all outputs of the decoder.

        Parameters
        ----------
        inputs
            (N, 3, rows, columns) on the network's device.
        rows
            The N images in their table.
        """
        maps = [self._encoded(one[None], row) for one, row in zip(inputs, rows, strict=True)]
        outputs: list[Tensor] = self.network.decoder([torch.cat(level) for level in zip(*maps, strict=True)])
        return outputs

    @torch.no_grad()
    def _encoded(self, one: Tensor, row: int) -> list[Tensor]:
        """Return the maps of an image."""
        if row not in self._maps:
            self._maps[row] = self.network.encode(one)
        return self._maps[row]
