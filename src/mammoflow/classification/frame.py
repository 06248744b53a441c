"""What a box covers of a promptable network's square.

`mammoflow.segmentation.embedding.network_square` tells where an image lies in that square.
"""

from __future__ import annotations

import torch
from torch import Tensor


def box_weights(boxes: Tensor, rows: int, columns: int) -> Tensor:
    """Return how much of each cell boxes cover: (n, 4) x0, y0, x1, y1 as fractions to (n, rows, columns) in 0..1."""

    def along(low: Tensor, high: Tensor, cells: int) -> Tensor:
        edges = torch.arange(cells, device=boxes.device, dtype=boxes.dtype)
        covered = torch.minimum(high[:, None] * cells, edges + 1) - torch.maximum(low[:, None] * cells, edges)
        return covered.clamp(0, 1)

    x0, y0, x1, y1 = boxes.unbind(1)
    return along(y0, y1, rows)[:, :, None] * along(x0, x1, columns)[:, None, :]
