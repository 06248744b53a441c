"""Components of a probability map and their lesions, against cases counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mammoflow.segmentation.matching import NO_LESION, find_components, match


def rectangle(y0: int, x0: int, y1: int, x1: int, size: tuple[int, int] = (20, 30)) -> np.ndarray:
    mask = np.zeros(size, dtype=np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def probabilities(*parts: tuple[np.ndarray, float]) -> np.ndarray:
    """A map that is .1 everywhere but on some masks."""
    values = np.full(parts[0][0].shape if parts else (20, 30), 0.1, dtype=np.float32)
    for mask, probability in parts:
        values[mask] = probability
    return values


def components_of(*parts: tuple[np.ndarray, float], **options: Any) -> Any:
    return find_components(probabilities(*parts), **{"threshold": 0.5, "least_area_px": 0, "score": "max"} | options)


def test_components_come_by_score_with_area_centroid_and_box() -> None:
    found = components_of((rectangle(1, 2, 3, 6), 0.75), (rectangle(10, 10, 14, 16), 1.0))
    assert found.scores.tolist() == [1.0, 0.75]
    assert found.areas.tolist() == [24, 8]
    assert found.centres.tolist() == [[12.0, 13.0], [2.0, 4.0]]
    assert found.boxes.tolist() == [[10, 10, 14, 16], [1, 2, 3, 6]]
    assert np.array_equal(found.mask(1), rectangle(1, 2, 3, 6))
    assert np.count_nonzero(found.union) == 32


def test_pixels_that_share_a_corner_are_one_component() -> None:
    assert len(components_of((rectangle(0, 0, 2, 2), 0.9), (rectangle(2, 2, 4, 4), 0.9))) == 1


def test_a_pixel_at_the_threshold_is_background() -> None:
    assert len(components_of((rectangle(0, 0, 2, 2), 0.5))) == 0


@pytest.mark.parametrize(("least", "count"), [(8, 2), (8.5, 1), (25, 0)])
def test_small_components_are_dropped(least: float, count: int) -> None:
    found = components_of((rectangle(1, 2, 3, 6), 1.0), (rectangle(10, 10, 14, 16), 0.75), least_area_px=least)
    assert len(found) == count == found.labels.max()


def test_score_is_the_mean_where_that_is_asked_for() -> None:
    halves = [(rectangle(0, 0, 2, 4), 0.75), (rectangle(2, 0, 4, 4), 1.0)]
    assert components_of(*halves).scores.tolist() == [1.0]
    assert components_of(*halves, score="mean").scores.tolist() == [0.875]


def test_a_map_without_lesion_has_no_component() -> None:
    found = components_of((rectangle(0, 0, 20, 30), 0.2))
    matched = match(found, [rectangle(0, 0, 2, 2)], "iou", 0.1)
    assert len(found) == 0
    assert matched.component.tolist() == [-1]


def test_largest_iou_is_the_mask_and_the_rest_are_false_positives() -> None:
    # The lesion is 4 x 4. The first component covers half of it: IoU 8 / 16. The second is elsewhere.
    lesion = rectangle(4, 4, 8, 8)
    found = components_of((rectangle(4, 4, 8, 6), 0.75), (rectangle(12, 20, 16, 24), 1.0))
    matched = match(found, [lesion], "iou", 0.1)
    assert matched.lesion.tolist() == [NO_LESION, 0]
    assert matched.is_mask.tolist() == [False, True]
    assert matched.iou.tolist() == [0.0, 0.5]
    assert matched.component.tolist() == [1]


def test_iou_below_the_least_is_no_hit_but_is_recorded() -> None:
    # 2 of 16 pixels of the lesion, component of 2 x 5: IoU 2 / (16 + 10 - 2).
    found = components_of((rectangle(6, 7, 8, 12), 0.9))
    matched = match(found, [rectangle(4, 4, 8, 8)], "iou", 0.1)
    assert matched.lesion.tolist() == [NO_LESION]
    assert matched.iou.tolist() == pytest.approx([2 / 24])
    assert match(found, [rectangle(4, 4, 8, 8)], "iou", 2 / 24).lesion.tolist() == [0]


def test_a_further_component_on_a_lesion_is_neither_hit_nor_false_positive() -> None:
    # The lesion is 4 x 10. The larger piece has IoU 24 / 40, the smaller, which scores higher, 12 / 40.
    lesion = rectangle(4, 4, 8, 14)
    found = components_of((rectangle(4, 4, 8, 7), 1.0), (rectangle(4, 8, 8, 14), 0.75))
    matched = match(found, [lesion], "iou", 0.1)
    assert matched.lesion.tolist() == [0, 0]
    assert matched.is_mask.tolist() == [False, True]
    assert matched.iou.tolist() == pytest.approx([0.3, 0.6])


def test_one_component_over_two_lesions_is_the_mask_of_one() -> None:
    # One component 4 x 12 over lesions of 4 x 4 and 4 x 5: IoU 16 / 48 and 20 / 48.
    found = components_of((rectangle(4, 4, 8, 16), 0.9))
    matched = match(found, [rectangle(4, 4, 8, 8), rectangle(4, 11, 8, 16)], "iou", 0.1)
    assert matched.lesion.tolist() == [1]
    assert matched.component.tolist() == [-1, 0]


def test_matching_is_one_to_one_so_that_a_second_component_takes_the_second_lesion() -> None:
    # A bar of 1 x 10 hits both lesions (4 x 4) with IoU 4 / 22; a block of 2 x 4 hits the left one with IoU 8 / 16.
    left, right = rectangle(4, 4, 8, 8), rectangle(4, 10, 8, 14)
    found = components_of((rectangle(7, 4, 8, 14), 1.0), (rectangle(4, 4, 6, 8), 0.75))
    matched = match(found, [left, right], "iou", 0.1)
    assert matched.lesion.tolist() == [1, 0]
    assert matched.component.tolist() == [1, 0]
    assert matched.iou.tolist() == pytest.approx([4 / 22, 0.5])


@pytest.mark.parametrize(("shift", "hit"), [(0, True), (1, True), (2, False)])
def test_centre_rule(shift: int, hit: bool) -> None:
    # The centroid of the component is at column 10 + shift; the lesion ends at column 12.
    found = components_of((rectangle(4, 6 + shift, 8, 14 + shift), 0.9))
    matched = match(found, [rectangle(4, 4, 8, 12)], "centre", 1.0)
    assert (matched.lesion.tolist() == [0]) is hit


def test_centre_inside_without_a_shared_pixel_is_no_hit() -> None:
    ring = rectangle(2, 2, 13, 13) & ~rectangle(4, 4, 11, 11)
    matched = match(components_of((ring, 0.9)), [rectangle(6, 6, 9, 9)], "centre", 0.1)
    assert matched.lesion.tolist() == [NO_LESION]


def test_an_image_without_lesions_has_false_positives_only() -> None:
    matched = match(components_of((rectangle(0, 0, 3, 3), 0.9)), [], "iou", 0.1)
    assert matched.lesion.tolist() == [NO_LESION]
    assert matched.iou.tolist() == [0.0]
    assert matched.component.tolist() == []
