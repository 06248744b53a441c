"""The small network: an image encoder at 256 x 256 and a decoder on the region around a prompt, sized for a CPU.

The encoder sees the whole image once. The decoder cuts the region around each prompt out of the network's input and
out of the embedding, brings it to a fixed grid, whatever the size of the box, and runs a residual U-Net over it
(Ronneberger et al., MICCAI 2015; He et al., CVPR 2016). So a lesion fills its grid whether it is 5 or 100 pixels wide.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE = 256
"""Side of the network's input in pixels."""

INPUT_CHANNELS = 4
"""Grey level, local contrast at two scales, inside the image."""

GRID = 64
"""Side of the grid that the region around a prompt is brought to."""

EMBEDDING_CHANNELS = 64
EMBEDDING_STRIDE = 4
STEM_CHANNELS = 24
PROMPT_CHANNELS = 7
"""Ellipse in the box, inside the box, earlier mask, positive points, negative points, log width, log height."""

WIDTHS = (24, 64, 128, 192, 256)
"""Channels of the decoder at 64, 32, 16, 8 and 4 cells a side."""

BLOCKS = (0, 1, 1, 2, 1)
"""Residual blocks on the way down; the level at 64 cells has one convolution."""

EMBEDDING_LEVEL = 2
"""Level of the decoder that the embedding joins, the one whose cells are nearest to its own."""

HEADS = 4
"""One mask, and three for an ambiguous prompt, as SAM has."""

DROPOUT = 0.1
LOCAL_SIGMAS_PX = (5.0, 14.0)


class Residual(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation around a short cut.

    Parameters
    ----------
    channels, out
        Channels in and out.
    stride
        Of the first convolution.
    dilation
        Of the second convolution.
    """

    def __init__(self, channels: int, out: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(out)
        self.second = nn.Conv2d(out, out, 3, 1, dilation, dilation, bias=False)
        self.second_norm = nn.BatchNorm2d(out)
        same = channels == out and stride == 1
        self.short_cut = nn.Identity() if same else nn.Conv2d(channels, out, 1, stride, bias=False)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, values: Tensor) -> Tensor:
        """Map (N, channels, rows, columns) to (N, out, rows / stride, columns / stride)."""
        inner = self.activation(self.first_norm(self.first(values)))
        result: Tensor = self.activation(self.second_norm(self.second(inner)) + self.short_cut(values))
        return result


class Encoder(nn.Module):
    """Input (N, INPUT_CHANNELS, rows, columns) to the embedding (N, EMBEDDING_CHANNELS, rows / 4, columns / 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(INPUT_CHANNELS, STEM_CHANNELS, 3, 2, 1),
            nn.ReLU(inplace=True),
            Residual(STEM_CHANNELS, EMBEDDING_CHANNELS, stride=2),
            Residual(EMBEDDING_CHANNELS, EMBEDDING_CHANNELS, dilation=2),
            Residual(EMBEDDING_CHANNELS, EMBEDDING_CHANNELS, dilation=4),
        )

    def forward(self, values: Tensor) -> Tensor:
        """Encode."""
        result: Tensor = self.layers(values)
        return result


class Decoder(nn.Module):
    """Residual U-Net over the region around a prompt."""

    def __init__(self) -> None:
        super().__init__()
        entry = [INPUT_CHANNELS + PROMPT_CHANNELS, *WIDTHS[:-1]]
        entry[EMBEDDING_LEVEL] += EMBEDDING_CHANNELS
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(entry[0], WIDTHS[0], 3, 1, 1), nn.ReLU(inplace=True))
            if level == 0
            else nn.Sequential(
                *(Residual(entry[level] if block == 0 else width, width) for block in range(BLOCKS[level]))
            )
            for level, width in enumerate(WIDTHS)
        )
        pairs = list(zip(WIDTHS[1:], WIDTHS, strict=False))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(below, here, 2, 2) for below, here in pairs)
        self.up = nn.ModuleList(Residual(2 * here, here) for _, here in pairs)
        self.shrink = nn.MaxPool2d(2)
        self.dropout = nn.Dropout2d(DROPOUT)
        self.masks = nn.Conv2d(WIDTHS[0], HEADS, 1)
        self.token = nn.Linear(WIDTHS[-1] + WIDTHS[1], WIDTHS[-1])
        self.iou = nn.Sequential(nn.ReLU(), nn.Linear(WIDTHS[-1], 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, region: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Segment regions.

        Parameters
        ----------
        region
            (N, INPUT_CHANNELS + PROMPT_CHANNELS, GRID, GRID) input and prompt of the region.
        embedding
            (N, EMBEDDING_CHANNELS, GRID / 4, GRID / 4) embedding of the region.

        Returns
        -------
        logits, predicted_iou, tokens
            (N, HEADS, GRID, GRID), (N, HEADS), (N, HEADS, WIDTHS[-1]).
        """
        values, passed = region, []
        for level, block in enumerate(self.down):
            if level:
                values = self.shrink(values)
            if level == EMBEDDING_LEVEL:
                values = torch.cat([values, embedding.to(values.dtype)], dim=1)
            values = block(values)
            passed.append(values)
        values = self.dropout(values)
        whole = values.mean(dim=(-2, -1))
        fine = values
        for level in reversed(range(len(self.up))):
            values = self.up[level](torch.cat([self.grow[level](values), passed[level]], dim=1))
            fine = values if level == 1 else fine
        logits = self.masks(values)
        tokens = self._tokens(whole, fine, logits)
        # bf16 has 1/256 as its step just below 1, and would rank good masks alike
        with torch.autocast(tokens.device.type, enabled=False):
            return logits, self.iou(tokens.float())[..., 0], tokens

    def _tokens(self, whole: Tensor, fine: Tensor, logits: Tensor) -> Tensor:
        """Describe each mask: what the region holds, and the mean of the features under the mask."""
        weights = functional.avg_pool2d(logits.detach().sigmoid(), 2).flatten(2) + 1e-3
        under = torch.einsum("nmp,ncp->nmc", weights / weights.sum(dim=-1, keepdim=True), fine.flatten(2))
        tokens: Tensor = self.token(torch.cat([whole[:, None].expand(-1, logits.shape[1], -1), under], dim=-1))
        return tokens


class SmallNetwork(nn.Module):
    """Encoder and decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = Encoder()
        self.mask_decoder = Decoder()


def build_small_network() -> SmallNetwork:
    """Build the small network with fresh weights from torch's generator."""
    return SmallNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def small_input(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Make the input channels (INPUT_CHANNELS, height, width) from grey levels (height, width).

    The first channel is the grey level between the 1st and 99.5th percentile of the pixels above background; the
    other two are the local contrast at two scales: the difference from a Gaussian mean over the local deviation,
    which the mean brightness of a film and the tissue far away do not move. Background is 0 in all three. The last
    channel is 1: beyond the image, where the input is padded, it is 0, so that the end of a film can be told from air.
    """
    foreground = image > 0.02 * float(image.max(initial=1.0))
    weight = foreground.astype(np.float32)
    if foreground.sum() < 16:
        return np.stack([*np.zeros((3, *image.shape)), np.ones(image.shape)]).astype(np.float32)
    low, high = np.percentile(image[foreground], [1.0, 99.5])
    level = np.clip((image - low) / max(float(high - low), 1e-6), 0.0, 1.0) * weight
    channels = [(level - 0.5) * 4.0 * weight]
    for sigma in LOCAL_SIGMAS_PX:
        blur: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]] = partial(
            cv2.GaussianBlur, ksize=(0, 0), sigmaX=sigma
        )
        mass = np.maximum(blur(weight), 1e-3)
        mean = blur(level) / mass
        deviation = np.sqrt(np.maximum(blur(level**2) / mass - mean**2, 0.0))
        channels.append(np.clip((level - mean) / (deviation + 0.02), -4.0, 4.0) * weight)
    return np.stack([*channels, np.ones_like(image)]).astype(np.float32)
