"""Masked autoencoding of a vision transformer (He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022).

The encoder sees a share of the patches. A small decoder gets its outputs and a learned token for each hidden patch, and
predicts the pixels of the hidden patches, each patch standardised by its own mean and deviation.
"""

from __future__ import annotations

from functools import partial

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

from mammoflow.segmentation.encoders.vision_transformer import DEVIATION, PATCH, VisionTransformer

HEAD_WIDTH = 16
"""Numbers of a token for each attention head of the decoder."""

SMALLEST_VARIANCE = 1e-6


def patch_values(pictures: Tensor) -> Tensor:
    """Return the grey levels of the patches (N, patches, 16 x 16), row by row, of pictures (N, 3, rows, columns)."""
    return functional.unfold(pictures[:, :1], PATCH, stride=PATCH).transpose(1, 2)


def standardised(patches: Tensor) -> Tensor:
    """Standardise each patch (..., pixels) by its own mean and deviation."""
    mean, variance = patches.mean(dim=-1, keepdim=True), patches.var(dim=-1, keepdim=True)
    return (patches - mean) / (variance + SMALLEST_VARIANCE).sqrt()


class MaskedAutoencoder(nn.Module):
    """An encoder with a decoder that fills in hidden patches.

    Parameters
    ----------
    encoder
        What is pretrained.
    patches
        Number of patches of a picture.
    width, depth
        Numbers of a token and layers of the decoder.
    """

    def __init__(self, encoder: VisionTransformer, patches: int, width: int, depth: int) -> None:
        super().__init__()
        self.encoder = encoder
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.norm = norm(encoder.channels[0])
        self.reduce = nn.Linear(encoder.channels[0], width)
        self.hidden = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, patches, width))
        self.blocks = nn.ModuleList(
            Block(width, width // HEAD_WIDTH, qkv_bias=True, norm_layer=norm) for _ in range(depth)
        )
        self.head = nn.Sequential(norm(width), nn.Linear(width, PATCH**2))
        for tensor in (self.hidden, self.positions):
            nn.init.trunc_normal_(tensor, std=DEVIATION)

    def forward(self, pictures: Tensor, order: Tensor, seen: int) -> Tensor:
        """Return the mean squared error of the hidden patches, a scalar.

        Parameters
        ----------
        pictures
            (N, 3, rows, columns), standardised for the encoder.
        order
            (N, patches): a permutation of the patches of each picture.
        seen
            Number of patches, the first ones of `order`, that the encoder sees.
        """
        tokens = self.encoder.tokens(pictures).flatten(1, 2)
        shown, hidden = order[:, :seen], order[:, seen:]
        encoded = self.reduce(self.norm(self.encoder.layers(_take(tokens, shown))))
        places = torch.cat([shown, hidden], dim=1)
        values = torch.cat([encoded, self.hidden.to(encoded.dtype).expand(len(encoded), hidden.shape[1], -1)], dim=1)
        values = values + _take(self.positions.expand(len(values), -1, -1), places)
        for block in self.blocks:
            values = block(values)
        predicted = self.head(values[:, seen:]).float()
        expected = _take(standardised(patch_values(pictures.float())), hidden)
        return functional.mse_loss(predicted, expected)


def _take(tokens: Tensor, places: Tensor) -> Tensor:
    """Return the tokens (N, chosen, width) at places (N, chosen) of tokens (N, all, width)."""
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[-1]))
