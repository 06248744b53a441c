"""LiteMedSAM: a TinyViT encoder at 256 x 256 with SAM's prompt encoder and mask decoder.

Ma et al., Segment Anything in Medical Images, Nature Communications 2024, and the baseline of the challenge "Segment
Anything in Medical Images on Laptop" (CVPR 2024), whose preprocessing this is: the longest side becomes 256 by the mean
over areas, the levels are stretched to [0, 1] (all channels alike), zeros fill the square up at the right and below.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mammoflow.segmentation.layers.segment_anything_modules import MaskDecoder, PromptEncoder, TwoWayTransformer
from mammoflow.segmentation.networks.rgb_input import to_rgb
from mammoflow.segmentation.networks.sam import SamModel
from mammoflow.segmentation.networks.tiny_vit import EMBEDDING, GRIDS, SIDE, TinyVit
from mammoflow.segmentation.protocol.segmenter import ImageSize
from mammoflow.storage.files import text_digest


class LiteMedSam(nn.Module):
    """The network, with the published names of its parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = TinyVit()
        self.prompt_encoder = PromptEncoder(EMBEDDING, (GRIDS[-1], GRIDS[-1]), (SIDE, SIDE), mask_in_chans=16)
        transformer = TwoWayTransformer(depth=2, embedding_dim=EMBEDDING, mlp_dim=2048, num_heads=8)
        self.mask_decoder = MaskDecoder(transformer_dim=EMBEDDING, transformer=transformer)


class LiteMedSamModel(SamModel):
    """LiteMedSAM behind the promptable protocol."""

    def __init__(self, name: str, network: LiteMedSam, digest: str) -> None:
        self.name = name
        self.network = network
        self.decoder = network.mask_decoder
        self.side = SIDE
        self.digest = text_digest(name, type(self).__name__, digest, "preprocessing 1")

    def preprocess(self, image: npt.NDArray[np.uint16]) -> Tensor:
        """Scale the longest side to 256, stretch minimum and maximum to 0 and 1, pad to a square."""
        rows, columns = self.scaled_size((image.shape[0], image.shape[1]))
        rgb = to_rgb(image)
        picture = np.ascontiguousarray(rgb[..., 0]) if image.ndim == 2 else rgb  # equal channels are computed once
        resized = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float64)
        low, high = float(resized.min()), float(resized.max())
        scaled = torch.as_tensor(((resized - low) / max(high - low, 1e-8)).astype(np.float32))
        channels = scaled.expand(3, -1, -1) if image.ndim == 2 else scaled.permute(2, 0, 1)
        return self._pad(channels.contiguous())

    def network_boxes(self, boxes: Tensor, size: ImageSize) -> Tensor:
        """Bring boxes (N, 4) x0, y0, x1, y1 from canonical pixels to the network's input, by one factor."""
        return boxes * (self.side / max(size))

    def network_points(self, points: Tensor, size: ImageSize) -> Tensor:
        """Bring points (N, P, 2) x, y from canonical pixels to the network's input, by one factor."""
        return points * (self.side / max(size))
