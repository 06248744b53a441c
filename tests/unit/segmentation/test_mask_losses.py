"""The values of losses by name, against sums over pixels written by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torchvision.ops import sigmoid_focal_loss

from mammoflow.config.base import Settings
from mammoflow.config.mask_losses import MASK_LOSSES
from mammoflow.config.members import NoOptions
from mammoflow.segmentation.mask_losses import boundary, focal, mse, structure, tversky


def arrays() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    target = np.zeros((12, 12))
    target[3:8, 4:9] = 1
    return generator.normal(size=(12, 12)), target


def computed(module: object, options: Settings) -> float:
    logits, target = (torch.from_numpy(array)[None, None] for array in arrays())
    return float(module.loss(logits, target, options))  # type: ignore[attr-defined]


def entropy(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.asarray(np.logaddexp(0, logits) - target * logits)


def test_structure_loss_weighs_each_pixel_of_the_cross_entropy() -> None:
    logits, target = arrays()
    side, half = 5, 2
    padded = np.pad(target, half)
    mean = np.array([[padded[y : y + side, x : x + side].mean() for x in range(12)] for y in range(12)])
    weights = 1 + 5 * np.abs(mean - target)
    probability = 1 / (1 + np.exp(-logits))
    weighted = (weights * entropy(logits, target)).sum() / weights.sum()
    shared, total = (probability * target * weights).sum(), ((probability + target) * weights).sum()
    expected = weighted + 1 - (shared + 1) / (total - shared + 1)
    assert computed(structure, structure.Options(side_px=5)) == pytest.approx(expected, rel=1e-6)
    # The published code averages the cross-entropy first, so its weights cancel.
    published = entropy(logits, target).mean() + 1 - (shared + 1) / (total - shared + 1)
    assert abs(expected - published) > 0.01


def test_an_even_side_is_refused() -> None:
    with pytest.raises(ValidationError, match="expected an odd number"):
        structure.Options(side_px=30)


def test_tversky_with_one_half_for_both_is_dice_and_weighs_misses_and_false_positives() -> None:
    logits, target = arrays()
    probability = 1 / (1 + np.exp(-logits))
    shared, wrong, missed = (
        (probability * target).sum(),
        (probability * (1 - target)).sum(),
        ((1 - probability) * target).sum(),
    )
    expected = 1 - (shared + 1) / (shared + 0.2 * wrong + 0.8 * missed + 1)
    assert computed(tversky, tversky.Options(false_positives=0.2, false_negatives=0.8)) == pytest.approx(expected)
    dice = 1 - (2 * shared + 2) / (probability.sum() + target.sum() + 2)
    assert computed(tversky, tversky.Options(false_positives=0.5, false_negatives=0.5)) == pytest.approx(dice)


def test_boundary_loss_is_dice_and_probability_times_signed_distance() -> None:
    logits, target = arrays()
    inside = np.argwhere(target == 1)
    outside = np.argwhere(target == 0)

    def distance(y: int, x: int) -> float:
        if target[y, x]:
            return 1 - float(np.hypot(*(outside - (y, x)).T).min())
        return float(np.hypot(*(inside - (y, x)).T).min())

    distances = np.array([[distance(y, x) for x in range(12)] for y in range(12)])
    np.testing.assert_allclose(boundary.signed_distances(target[None] > 0)[0], distances, rtol=1e-6)
    probability = 1 / (1 + np.exp(-logits))
    dice = 1 - (2 * (probability * target).sum() + 1) / (probability.sum() + target.sum() + 1)
    expected = dice + 0.3 * (probability * distances).mean()
    assert computed(boundary, boundary.Options(weight=0.3)) == pytest.approx(expected, rel=1e-5)


def test_a_mask_without_an_outline_has_no_distances() -> None:
    masks = np.stack([np.zeros((6, 5), dtype=np.bool_), np.ones((6, 5), dtype=np.bool_)])
    assert not boundary.signed_distances(masks).any()


def test_focal_loss_is_torchvisions_and_may_have_dice_beside_it() -> None:
    logits, target = (torch.from_numpy(array)[None, None].float() for array in arrays())
    alone = float(sigmoid_focal_loss(logits, target, alpha=0.25, gamma=2.0, reduction="mean"))
    assert computed(focal, focal.Options()) == pytest.approx(alone, rel=1e-5)
    probability = logits.sigmoid()
    dice = 1 - (2 * (probability * target).sum() + 1) / (probability.sum() + target.sum() + 1)
    assert computed(focal, focal.Options(dice_weight=2.0)) == pytest.approx(alone + 2 * float(dice), rel=1e-5)


def test_the_losses_of_the_documentation_are_there() -> None:
    assert MASK_LOSSES.names() == ["bce", "boundary", "dice", "dice_bce", "focal", "mse", "structure", "tversky"]


def test_mean_squared_error_is_that_of_probabilities() -> None:
    logits, target = arrays()
    assert computed(mse, NoOptions()) == pytest.approx(((1 / (1 + np.exp(-logits)) - target) ** 2).mean(), rel=1e-6)
