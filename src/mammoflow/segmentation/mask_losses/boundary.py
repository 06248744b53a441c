"""Boundary loss: probability times the signed distance to the outline, beside Dice (Kervadec et al., MIDL 2019).

The distance is negative inside. An image without a lesion has no outline, and neither has a patch inside a lesion, so
only their Dice loss counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mammoflow.config.base import Settings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor


class Options(Settings):
    """Options of the loss `boundary`."""

    weight: float = Field(0.01, ge=0, description="Weight of the boundary term beside the Dice loss.")


def loss(logits: Tensor, targets: Tensor, options: Options) -> Tensor:
    """Return the mean loss."""
    import torch

    from mammoflow.segmentation.losses import dice_loss

    expected = targets.detach().cpu().numpy() > 0.5
    distances = torch.from_numpy(signed_distances(expected[:, 0]))[:, None].to(logits.device)
    outline = (logits.float().sigmoid() * distances).mean()
    return dice_loss(logits, targets).mean() + options.weight * outline


def signed_distances(masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Return the distance in pixels of each pixel of masks (N, rows, columns) to the outline, negative inside.

    All distances of a mask without an outline (empty or full) are 0.
    """
    import numpy as np
    from scipy.ndimage import distance_transform_edt

    distances = np.zeros(masks.shape, dtype=np.float32)
    for place, mask in enumerate(masks):
        if mask.any() and not mask.all():
            distances[place] = distance_transform_edt(~mask) - np.maximum(distance_transform_edt(mask) - 1, 0)
    return distances
