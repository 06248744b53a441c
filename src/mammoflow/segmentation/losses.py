"""The losses that SAM was published with: focal and dice on the masks, an error of the predicted IoU.

Sources: Kirillov et al., Segment Anything, ICCV 2023 (20 focal + 1 dice, IoU head by mean squared error of weight 1,
only the best of several masks is followed); Ravi et al., SAM 2, 2024 (absolute IoU error on all masks; dice with sums,
and not sums of squares, in the denominator, as in its training code); Lin et al., Focal Loss, ICCV 2017 (alpha 0.25,
gamma 2).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

FOCAL_WEIGHT = 20.0
DICE_WEIGHT = 1.0
IOU_WEIGHT = 1.0


def focal_loss(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Return the focal loss of each mask, averaged over its pixels.

    Parameters
    ----------
    logits
        (N, M, rows, columns).
    targets
        (N, M, rows, columns) or broadcastable to it, in 0..1.
    alpha, gamma
        Weight of the foreground and exponent of the focus (Lin et al. 2017).

    Returns
    -------
    Tensor
        (N, M).
    """
    from torchvision.ops import sigmoid_focal_loss  # takes as long to load as torch

    losses: Tensor = sigmoid_focal_loss(logits.float(), targets.float().expand_as(logits), alpha=alpha, gamma=gamma)
    return losses.mean(dim=(-2, -1))


def dice_loss(logits: Tensor, targets: Tensor, smoothing: float = 1.0) -> Tensor:
    """Return one minus the soft Dice of each mask (N, M); shapes as in `focal_loss`.

    `smoothing` is added to numerator and denominator, so that an empty mask against an empty target costs nothing.
    """
    probabilities = logits.float().sigmoid()
    expected = targets.float().expand_as(probabilities)
    shared = (probabilities * expected).sum(dim=(-2, -1))
    total = probabilities.sum(dim=(-2, -1)) + expected.sum(dim=(-2, -1))
    return 1 - (2 * shared + smoothing) / (total + smoothing)


@torch.no_grad()
def mask_iou(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the IoU (N, M) of the masks (logits above 0) with the targets (above 0.5); empty against empty is 1."""
    predicted = logits > 0
    expected = (targets > 0.5).expand_as(predicted)
    shared = (predicted & expected).sum(dim=(-2, -1)).float()
    union = (predicted | expected).sum(dim=(-2, -1)).float()
    return torch.where(union > 0, shared / union.clamp(min=1), torch.ones_like(union))


def segmentation_loss(
    low_res_logits: Tensor,
    predicted_iou: Tensor,
    targets: Tensor,
    iou_loss: Literal["best", "all", "all_l1"] = "best",
) -> Tensor:
    """Return SAM's training loss, averaged over the N prompts.

    Parameters
    ----------
    low_res_logits
        (N, M, rows, columns): mask logits of the M heads; resized to the targets' pixels where those differ, so both
        must show the same field of view.
    predicted_iou
        (N, M): the model's estimate of each head's IoU.
    targets
        (N, 1, height, width): reference masks in 0..1.
    iou_loss
        Error of the predicted IoU: squared of the best mask (`best`, SAM), squared of all M masks (`all`), or absolute
        of all M masks (`all_l1`, SAM 2).

    Returns
    -------
    Tensor
        Scalar. Per prompt only the head with the least mask loss is followed, so that the heads stay different.
    """
    logits = low_res_logits.float()
    if logits.shape[-2:] != targets.shape[-2:]:
        size = (int(targets.shape[-2]), int(targets.shape[-1]))
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    masks = FOCAL_WEIGHT * focal_loss(logits, targets) + DICE_WEIGHT * dice_loss(logits, targets)
    errors = predicted_iou.float() - mask_iou(logits, targets)
    errors = errors.abs() if iou_loss == "all_l1" else errors.square()
    best = masks.detach().argmin(dim=1, keepdim=True)
    iou_error = errors.gather(1, best).squeeze(1) if iou_loss == "best" else errors.mean(dim=1)
    return (masks.gather(1, best).squeeze(1) + IOU_WEIGHT * iou_error).mean()
