"""The decoder PUP of SETR: progressive upsampling (Zheng et al., CVPR 2021), in the layout of mmsegmentation."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mammoflow.segmentation.layers.unet import convolution

STEPS = 4


class ProgressiveUpsampling(nn.Module):
    """Normalisation over channels, and four times a convolution and an upsampling to twice the size.

    Parameters
    ----------
    channels
        Of the map at stride 16.
    width
        Channels of the convolutions; 256 gives the published number of parameters.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.convolutions = nn.ModuleList(convolution(channels if step == 0 else width, width) for step in range(STEPS))
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return logits (N, 1, 16 rows, 16 columns) of the last map (N, channels, rows, columns), as a list of one."""
        values = self.norm(maps[-1].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        for step in self.convolutions:
            values = self.up(step(values))
        return [self.head(values)]
