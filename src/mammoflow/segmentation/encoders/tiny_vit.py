"""LiteMedSAM's TinyViT as an encoder: a pyramid of pooled maps of its embedding.

The encoder gives one embedding at stride 4 (of a picture of any size; LiteMedSAM's own pictures have 256 pixels).
Coarser maps are means of it: the simple feature pyramid of Li et al., Exploring Plain Vision Transformer Backbones for
Object Detection, ECCV 2022, without its convolutions.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from mammoflow.segmentation.encoders.interface import STRIDES, Encoder, below
from mammoflow.segmentation.networks.tiny_vit import EMBEDDING, TinyVit


class TinyVitEncoder(Encoder):
    """TinyViT and its neck; its pictures are in 0..1, as LiteMedSAM's are."""

    levels = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

    def __init__(self) -> None:
        super().__init__()
        self.channels = (EMBEDDING,) * 4
        self.image_encoder = TinyVit()

    @property
    def pretrained(self) -> TinyVit:
        """The encoder without this module's name."""
        return self.image_encoder

    def chosen_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the encoder among the weights of LiteMedSAM."""
        return below(state, ("encoder.image_encoder.", "image_encoder."))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Return the embedding and its means over 2, 4 and 8 pixels."""
        embedding = self.image_encoder(pictures)
        return [functional.avg_pool2d(embedding, stride // STRIDES[0]) for stride in STRIDES]
