from __future__ import annotations

import math

import torch

from mammoflow.segmentation.losses import dice_loss, focal_loss, mask_iou, segmentation_loss


def test_focal_loss_follows_its_published_formula() -> None:
    logits = torch.tensor([[[[0.3, -1.2], [2.0, -0.1]]]])
    targets = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    expected = []
    for logit, target in zip(logits.flatten().tolist(), targets.flatten().tolist(), strict=True):
        probability = 1 / (1 + math.exp(-logit))
        right = probability if target == 1 else 1 - probability
        weight = 0.25 if target == 1 else 0.75
        expected.append(-weight * (1 - right) ** 2 * math.log(right))
    assert math.isclose(focal_loss(logits, targets).item(), sum(expected) / 4, rel_tol=1e-5)


def test_dice_loss_of_sure_masks_is_one_minus_the_smoothed_overlap() -> None:
    targets = torch.zeros(1, 1, 8, 8)
    targets[..., :4, :] = 1
    logits = torch.full((1, 1, 8, 8), -50.0)
    logits[..., 2:4, :] = 50
    assert math.isclose(dice_loss(logits, targets).item(), 1 - (2 * 16 + 1) / (16 + 32 + 1), rel_tol=1e-5)
    assert dice_loss(torch.full((1, 1, 8, 8), -50.0), torch.zeros(1, 1, 8, 8)).item() < 1e-6


def test_iou_of_empty_against_empty_is_one_and_of_disjoint_is_zero() -> None:
    targets = torch.zeros(2, 1, 4, 4)
    targets[1, 0, 0, 0] = 1
    logits = torch.full((2, 2, 4, 4), -1.0)
    logits[1, 1, 0, :2] = 1
    assert mask_iou(logits, targets).tolist() == [[1.0, 1.0], [0.0, 0.5]]


def test_only_the_best_head_gets_gradient_and_iou_may_follow_all() -> None:
    targets = torch.zeros(1, 1, 8, 8)
    targets[..., 2:6, 2:6] = 1
    right = (targets * 2 - 1) * 4
    logits = torch.cat([-right, right], dim=1).requires_grad_()
    quality = torch.tensor([[0.7, 0.4]], requires_grad=True)
    segmentation_loss(logits, quality, targets).backward()
    assert logits.grad is not None
    assert quality.grad is not None
    assert logits.grad[0, 0].abs().sum() == 0
    assert logits.grad[0, 1].abs().sum() > 0
    torch.testing.assert_close(quality.grad, torch.tensor([[0.0, 2 * (0.4 - 1.0)]]))
    quality.grad = None
    segmentation_loss(logits, quality, targets, "all").backward()
    torch.testing.assert_close(quality.grad, torch.tensor([[0.7, 0.4 - 1.0]]))
    quality.grad = None
    segmentation_loss(logits, quality, targets, "all_l1").backward()
    torch.testing.assert_close(quality.grad, torch.tensor([[0.5, -0.5]]))


def test_total_is_twenty_focal_and_one_dice_at_the_targets_resolution() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 1, 4, 4)
    targets = (torch.rand(3, 1, 16, 16) > 0.5).float()
    large = torch.nn.functional.interpolate(logits, size=(16, 16), mode="bilinear", align_corners=False)
    exact = mask_iou(large, targets)
    expected = (20 * focal_loss(large, targets) + dice_loss(large, targets)).mean()
    torch.testing.assert_close(segmentation_loss(logits, exact, targets), expected)
    torch.testing.assert_close(segmentation_loss(logits, exact + 0.5, targets), expected + 0.25)
