"""The threshold that the validation images choose."""

from __future__ import annotations

import numpy as np
import pytest

from mammoflow.segmentation.automatic.thresholds import THRESHOLDS, best_threshold, dice_by_threshold


def test_dice_at_each_threshold_equals_a_slow_count() -> None:
    generator = np.random.default_rng(0)
    probability = np.round(generator.random((20, 30)), 2).astype(np.float32)
    lesions = generator.random((20, 30)) < 0.2
    for threshold, dice in zip(THRESHOLDS, dice_by_threshold(probability, lesions), strict=True):
        marked = probability > np.float32(threshold)
        assert dice == pytest.approx(2 * (marked & lesions).sum() / (marked.sum() + lesions.sum()))


def test_the_largest_mean_wins_and_of_equal_ones_the_middle() -> None:
    lesions = np.zeros((10, 10), dtype=np.bool_)
    lesions[:5] = True
    first = dice_by_threshold(np.where(lesions, 0.82, 0.31).astype(np.float32), lesions)
    second = dice_by_threshold(np.where(lesions, 0.72, 0.44).astype(np.float32), lesions)
    # Both are right from .45 to .70.
    assert best_threshold(np.stack([first, second])) == (pytest.approx(0.6), 1.0)


def test_images_count_alike() -> None:
    dice = np.zeros((2, len(THRESHOLDS)))
    dice[0, 3], dice[1, 8] = 0.5, 0.6
    assert best_threshold(dice) == (pytest.approx(THRESHOLDS[8]), pytest.approx(0.3))
