"""The maps of a frozen encoder, computed once for each image that comes unchanged in every epoch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mammoflow.segmentation.embedding.training_sources import CACHE_BYTES, BoundedCache
from mammoflow.segmentation.networks.encoder_decoder import EncoderDecoder


class FrozenMaps:
    """Keeps the maps of images in memory, so that an epoch after the first costs the decoder alone.

    An image is encoded alone, so that its maps do not depend on the batch: a training that is resumed then has those of
    an unbroken one. The maps are kept in the memory of the CPU. Images whose maps do not fit are encoded again in each
    epoch.

    Parameters
    ----------
    network
        A network whose encoder is frozen.
    limit
        Bytes that the maps may take.
    """

    def __init__(self, network: EncoderDecoder, limit: int = CACHE_BYTES) -> None:
        self.network = network
        self._inputs: dict[int, Tensor] = {}  # of the batch, from which the cache loads
        self.cache: BoundedCache[list[Tensor]] = BoundedCache(self._encode, _bytes, limit)

    def outputs(self, inputs: Tensor, rows: Sequence[int]) -> list[Tensor]:
        """Return the logits of all outputs of the decoder.

        Parameters
        ----------
        inputs
            (N, 3, rows, columns) on the network's device.
        rows
            The N images in their table.
        """
        self._inputs = dict(zip(rows, inputs, strict=True))
        maps = [[level.to(inputs.device) for level in self.cache.get(row)] for row in rows]
        self._inputs = {}
        outputs: list[Tensor] = self.network.decoder([torch.cat(level) for level in zip(*maps, strict=True)])
        return outputs

    @torch.no_grad()
    def _encode(self, row: int) -> list[Tensor]:
        """Return the maps of an image of the batch, in the memory of the CPU."""
        return [level.cpu() for level in self.network.encode(self._inputs[row][None])]


def _bytes(maps: list[Tensor]) -> int:
    return sum(level.nbytes for level in maps)
