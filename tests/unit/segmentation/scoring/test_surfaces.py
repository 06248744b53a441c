"""Distances between surfaces, held to a brute-force computation and to SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mammoflow.segmentation.scoring.scores import score_masks
from mammoflow.segmentation.scoring.surfaces import CutMask, hausdorff_95_and_mean, surface_distances

SIZE = (11, 13)
MASKS = arrays(np.bool_, SIZE)
SPACINGS = st.tuples(st.floats(0.05, 3), st.floats(0.05, 3))


def surface_by_definition(mask: np.ndarray) -> list[tuple[int, int]]:
    """Pixels of a mask beside a pixel that is not of it, or at the border of the image; one pixel after the other."""
    found = []
    for row, column in zip(*np.nonzero(mask), strict=True):
        around = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
        if any(not (0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]) or not mask[y, x] for y, x in around):
            found.append((int(row), int(column)))
    return found


def brute_force(first: np.ndarray, second: np.ndarray, spacing: tuple[float, float]) -> tuple[float, float]:
    """Both distances from all pairs of surface pixels."""
    ends = [np.array(surface_by_definition(mask)) * np.array(spacing) for mask in (first, second)]
    pairs = np.sqrt(((ends[0][:, None] - ends[1][None]) ** 2).sum(axis=2))
    there, back = pairs.min(axis=1), pairs.min(axis=0)
    return max(np.percentile(there, 95), np.percentile(back, 95)), np.concatenate([there, back]).mean()


def distances(first: np.ndarray, second: np.ndarray, spacing: tuple[float, float]) -> tuple[float, float]:
    return hausdorff_95_and_mean(CutMask.of(first, spacing), CutMask.of(second, spacing))


def blob(generator: np.random.Generator, size: tuple[int, int], holes: bool = False) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    centre = generator.uniform(0.3, 0.7, 2) * size
    angle = np.arctan2(y - centre[0], x - centre[1])
    radius = 0.18 * min(size) * (1 + 0.3 * np.sin(3 * angle + generator.uniform(0, 6)))
    mask = np.hypot(y - centre[0], x - centre[1]) <= radius
    return mask & (generator.random(size) > 0.05) if holes else mask


@settings(max_examples=60, deadline=None)
@given(MASKS, MASKS, SPACINGS)
def test_distances_are_those_of_all_pairs(first: np.ndarray, second: np.ndarray, spacing: tuple[float, float]) -> None:
    if not first.any() or not second.any():
        expected = (0.0, 0.0) if first.any() == second.any() else (np.nan, np.nan)
    else:
        expected = brute_force(first, second, spacing)
    np.testing.assert_allclose(distances(first, second, spacing), expected, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(MASKS, MASKS, SPACINGS, st.floats(0.1, 10))
def test_distances_are_symmetric_and_grow_with_the_spacing(
    first: np.ndarray, second: np.ndarray, spacing: tuple[float, float], factor: float
) -> None:
    found = np.array(distances(first, second, spacing))
    np.testing.assert_allclose(distances(second, first, spacing), found)
    np.testing.assert_allclose(distances(first.T, second.T, spacing[::-1]), found)
    larger = distances(first, second, (spacing[0] * factor, spacing[1] * factor))
    np.testing.assert_allclose(larger, factor * found, rtol=1e-9)
    np.testing.assert_allclose(distances(first, first, spacing), 0, atol=0)


@pytest.mark.parametrize("holes", [False, True])
def test_distances_agree_with_simpleitk(holes: bool) -> None:
    """Away from the border of the image, where ITK's contour does not count it as background."""
    generator = np.random.default_rng(8)
    spacing = (0.31, 0.87)
    for _ in range(6):
        masks = [blob(generator, (90, 70), holes) for _ in range(2)]
        images = [SimpleITK.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]
        for image in images:
            image.SetSpacing(spacing[::-1])  # ITK's first axis is the column
        contours = [SimpleITK.LabelContour(image) for image in images]
        maps = [
            SimpleITK.SignedMaurerDistanceMap(
                contour, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
            )
            for contour in contours
        ]
        ends = [SimpleITK.GetArrayFromImage(contour) > 0 for contour in contours]
        # A contour is one pixel wide, so its own pixels are at distance 0, and all others outside.
        away = [np.maximum(SimpleITK.GetArrayFromImage(image), 0) for image in maps]
        there, back = away[1][ends[0]], away[0][ends[1]]
        expected = max(np.percentile(there, 95), np.percentile(back, 95)), np.concatenate([there, back]).mean()
        assert distances(masks[0], masks[1], spacing) == pytest.approx(expected, rel=1e-5)

        directed = surface_distances(*(CutMask.of(mask, spacing) for mask in masks))
        whole = SimpleITK.HausdorffDistanceImageFilter()
        whole.Execute(*contours)
        assert max(part.max() for part in directed) == pytest.approx(whole.GetHausdorffDistance(), rel=1e-5)


def test_overlap_scores_agree_with_simpleitk() -> None:
    generator = np.random.default_rng(9)
    spacing = (0.5, 0.25)
    masks, references = (np.stack([blob(generator, (60, 50)) for _ in range(8)]) for _ in range(2))
    scored = score_masks(masks, [CutMask.of(reference, spacing) for reference in references])
    for place, (mask, reference) in enumerate(zip(masks, references, strict=True)):
        measures = SimpleITK.LabelOverlapMeasuresImageFilter()
        measures.Execute(*(SimpleITK.GetImageFromArray(part.astype(np.uint8)) for part in (mask, reference)))
        assert scored.dice[place] == pytest.approx(measures.GetDiceCoefficient(1))
        assert scored.iou[place] == pytest.approx(measures.GetJaccardCoefficient(1))
        # ITK takes the segmentation as source and the reference as target.
        assert scored.recall[place] == pytest.approx(1 - measures.GetFalseNegativeError(1))
        assert scored.precision[place] == pytest.approx(1 - measures.GetFalseDiscoveryRate(1))


def test_known_distances() -> None:
    one, other = np.zeros((2, 40, 40), dtype=bool)
    one[10:20, 10:20], other[10:20, 14:24] = True, True
    # Moved by 4 columns of 0.5 mm: the far edges are 2 mm away, and no more than a tenth of the surface is nearer than
    # that on either side's far edge.
    hd95, mean = distances(one, other, (1.0, 0.5))
    assert hd95 == pytest.approx(2.0)
    assert mean == pytest.approx(brute_force(one, other, (1.0, 0.5))[1])
    dot, far = np.zeros((2, 40, 40), dtype=bool)
    dot[0, 0], far[30, 39] = True, True
    assert distances(dot, far, (0.1, 0.2)) == pytest.approx((np.hypot(3.0, 7.8),) * 2)


def test_a_cut_mask_is_its_mask() -> None:
    mask = np.zeros((20, 30), dtype=bool)
    mask[3:9, 5:17] = True
    mask[5, 8] = False
    cut = CutMask.of(mask, (1, 1))
    assert (cut.top, cut.left, cut.pixels.shape, cut.area) == (3, 5, (6, 12), 71)
    assert sorted(map(tuple, cut.surface.tolist())) == sorted(surface_by_definition(mask))
    nothing = CutMask.of(np.zeros_like(mask), (1, 1))
    assert (nothing.area, len(nothing.surface), nothing.shared(cut), cut.shared(nothing)) == (0, 0, 0, 0)
    other = np.zeros_like(mask)
    other[7:20, 15:30] = True
    assert cut.shared(CutMask.of(other, (1, 1))) == np.count_nonzero(mask & other) == 4
