"""Structure loss: cross-entropy and IoU in which pixels near the outline weigh more (Wei et al., F3Net, AAAI 2020).

The weight of a pixel is 1 + 5 |mean of the mask over 31 x 31 pixels - mask|. Published code passes `reduce="none"` to
the cross-entropy, which averages it at once, so that the weights cancel in it. Here they count, as the paper says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from mammoflow.config.base import Settings

if TYPE_CHECKING:
    from torch import Tensor


class Options(Settings):
    """Options of the loss `structure`."""

    outline_weight: float = Field(5.0, ge=0, description="Additional weight of pixels at the outline.")
    side_px: int = Field(31, ge=3, description="Side of the square in pixels over which the mask is averaged; odd.")

    @field_validator("side_px")
    @classmethod
    def check_odd(cls, side: int) -> int:
        """Refuse an even side, around which no pixel is the centre."""
        if side % 2 == 0:
            raise ValueError(f"side_px is {side}, expected an odd number")
        return side


def loss(logits: Tensor, targets: Tensor, options: Options) -> Tensor:
    """Return the mean loss."""
    from torch.nn import functional

    values, expected = logits.float(), targets.float()
    mean = functional.avg_pool2d(expected, options.side_px, stride=1, padding=options.side_px // 2)
    weights = 1 + options.outline_weight * (mean - expected).abs()
    entropy = functional.binary_cross_entropy_with_logits(values, expected, reduction="none")
    weighted = (weights * entropy).sum(dim=(-2, -1)) / weights.sum(dim=(-2, -1))
    probabilities = values.sigmoid()
    shared = (probabilities * expected * weights).sum(dim=(-2, -1))
    total = ((probabilities + expected) * weights).sum(dim=(-2, -1))
    return (weighted + 1 - (shared + 1) / (total - shared + 1)).mean()
