from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import dice as scipy_dice
from scipy.spatial.distance import jaccard as scipy_jaccard

from mammoflow.segmentation.matching import find_components, match
from mammoflow.segmentation.prompting.boxes import expand_boxes
from mammoflow.segmentation.scoring.references import References
from mammoflow.segmentation.scoring.scores import Scores, box_mask, ellipse_in_box, mask_boxes, overlap, score_masks
from mammoflow.segmentation.scoring.surfaces import CutMask
from mammoflow.storage.files import read_mask


def test_overlap_agrees_with_scipy() -> None:
    generator = np.random.default_rng(3)
    masks = generator.random((20, 17, 23)) > generator.uniform(0.2, 0.99, (20, 1, 1))
    references = generator.random((20, 17, 23)) > 0.7
    scored = overlap(masks, references)
    expected_dice = [1 - scipy_dice(a.ravel(), b.ravel()) for a, b in zip(masks, references, strict=True)]
    expected_iou = [1 - scipy_jaccard(a.ravel(), b.ravel()) for a, b in zip(masks, references, strict=True)]
    np.testing.assert_allclose(scored.dice, expected_dice)
    np.testing.assert_allclose(scored.iou, expected_iou)
    assert scored.area.tolist() == [int(mask.sum()) for mask in masks]


def test_misses_score_zero_and_are_told_from_empty_against_empty() -> None:
    nothing, left, right = np.zeros((4, 6), bool), np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    left[:, :3], right[:, 3:] = True, True
    scored = overlap(np.stack([nothing, nothing, left, left]), np.stack([nothing, left, right, left]))
    assert scored.dice.tolist() == [1, 0, 0, 1]
    assert scored.iou.tolist() == [1, 0, 0, 1]
    assert scored.missed.tolist() == [False, True, True, False]


def test_one_reference_may_serve_many_masks() -> None:
    generator = np.random.default_rng(4)
    masks, reference = generator.random((5, 8, 8)) > 0.5, generator.random((1, 8, 8)) > 0.5
    shared, repeated = overlap(masks, reference), overlap(masks, np.repeat(reference, 5, axis=0))
    np.testing.assert_array_equal(shared.dice, repeated.dice)


def test_a_reference_box_thinner_than_a_pixel_is_the_pixels_that_it_touches(tmp_path: Path) -> None:
    image = {"height": 64, "width": 64, "row_spacing_mm": 0.2, "column_spacing_mm": 0.2}
    lesion = {"patient_id": "p", "mask_file": None, "y0": 10.6, "x0": 10.0, "y1": 11.4, "x1": 13.0}
    references = References(tmp_path, image, pd.DataFrame([lesion], index=["a"]))
    masks = np.zeros((3, 64, 64), bool)
    masks[0, 8:15, 8:15], masks[2, 40:42, 40:42] = True, True
    assert references.score(["a"] * 3, masks).missed.tolist() == [False, True, True]
    components = find_components(np.where(masks[0], 0.9, 0).astype(np.float32), 0.5, 1, "max")
    assert match(components, [references.masks["a"]], "centre", 0.1).lesion == [0]


def scored_pairs(masks: list[np.ndarray], references: list[np.ndarray], spacing: tuple[float, float]) -> Scores:
    return score_masks(np.stack(masks), [CutMask.of(reference, spacing) for reference in references])


def test_scores_of_a_mask_by_hand() -> None:
    mask, reference = np.zeros((2, 10, 10), bool)
    mask[2:6, 2:6], reference[4:8, 2:6] = True, True
    mask[2, 2] = False
    scored = scored_pairs([mask], [reference], (0.5, 0.2))
    assert (scored.dice[0], scored.iou[0]) == pytest.approx((16 / 31, 8 / 23))
    assert (scored.precision[0], scored.recall[0]) == pytest.approx((8 / 15, 8 / 16))
    assert scored.pixel_accuracy[0] == pytest.approx(0.85)
    assert scored.area_mm2[0] == pytest.approx(1.5)
    assert (scored.area_error_mm2[0], scored.area_error_share[0]) == pytest.approx((-0.1, -1 / 16))
    assert not scored.missed[0]


def test_overlap_scores_of_random_masks_agree_with_their_counts() -> None:
    generator = np.random.default_rng(5)
    masks = generator.random((30, 12, 9)) > generator.uniform(0.1, 0.99, (30, 1, 1))
    references = generator.random((30, 12, 9)) > 0.6
    scored = score_masks(masks, [CutMask.of(reference, (1, 1)) for reference in references])
    plain = overlap(masks, references)
    np.testing.assert_allclose(scored.dice, plain.dice)
    np.testing.assert_allclose(scored.iou, plain.iou)
    np.testing.assert_array_equal(scored.missed, plain.missed)
    np.testing.assert_allclose(scored.pixel_accuracy, (masks == references).mean(axis=(1, 2)))
    harmonic = 2 * scored.precision * scored.recall / np.maximum(scored.precision + scored.recall, 1e-12)
    np.testing.assert_allclose(harmonic, scored.dice)


def test_every_score_of_misses_and_of_empty_masks() -> None:
    nothing, left, right = np.zeros((4, 6), bool), np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    left[:, :3], right[:, 3:] = True, True
    scored = scored_pairs([nothing, nothing, left, left], [nothing, left, nothing, right], (1, 1))
    for name in ("dice", "iou", "precision", "recall"):
        assert getattr(scored, name).tolist() == [1, 0, 0, 0], name
    assert scored.pixel_accuracy.tolist() == [1, 0.5, 0.5, 0]
    assert scored.missed.tolist() == [False, True, True, True]
    # Empty against empty has no error; a mask without a counterpart has no distance; one beside it has.
    for name in ("hd95_mm", "surface_distance_mm"):
        values = getattr(scored, name)
        assert values[0] == 0
        assert np.isnan(values[1:3]).all()
        assert values[3] >= 1
    assert scored.area_error_mm2.tolist() == [0, -12, 12, 0]
    assert scored.area_error_share.tolist()[:2] == [0, -1]
    assert np.isnan(scored.area_error_share[2])


def test_against_a_box_only_area_and_misses_are_defined() -> None:
    mask, box = np.zeros((2, 8, 8), bool)
    mask[1:3, 1:3], box[4:6, 4:6] = True, True
    references = [CutMask.of(reference, (2.0, 2.0)) for reference in (box, box)]
    scored = score_masks(np.stack([mask, mask]), references, [False, True])
    assert scored.missed.tolist() == [True, True]
    assert scored.area_mm2.tolist() == [16, 16]
    for name, values in scored.columns().items():
        assert np.isnan(values[0]) == (name not in ("missed", "area_mm2")), name
        assert not np.isnan(values[1])


def test_no_masks_have_no_scores() -> None:
    assert all(len(values) == 0 for values in score_masks(np.zeros((0, 5, 5), bool), []).columns().values())


def test_ellipse_has_the_area_and_bounds_of_an_inscribed_ellipse() -> None:
    ellipse = ellipse_in_box(np.array([20.0, 30.0, 120.0, 190.0]), (200, 300))
    assert ellipse.sum() == pytest.approx(np.pi / 4 * 100 * 160, rel=2e-3)
    assert mask_boxes(ellipse[None], np.zeros((1, 4), np.float32)).tolist() == [[30, 20, 190, 120]]
    assert (ellipse[20:120, 30:190] == ellipse[20:120, 30:190][::-1, ::-1]).all()
    assert ellipse_in_box(np.array([5.0, 7.0, 6.0, 8.0]), (10, 10)).nonzero() == (np.array([5]), np.array([7]))


def test_boxes_come_back_from_their_masks() -> None:
    box = np.array([3.0, 4.0, 9.0, 5.0])
    masks = np.stack([box_mask(box, (12, 12)), np.zeros((12, 12), bool)])
    otherwise = np.array([[0, 0, 1, 1], [2, 3, 4, 5]], dtype=np.float32)
    assert mask_boxes(masks, otherwise).tolist() == [[4, 3, 5, 9], [2, 3, 4, 5]]


def test_ellipse_floor_on_real_masses(real_data: Path) -> None:
    """The floor on the usable lesions of the real 256 x 256 set, at the 50 µm film pixel that the figures assume."""
    folder = real_data / "cbis-ddsm-mass-256"
    lesions = pd.read_csv(folder / "lesions.csv")
    views = pd.read_csv(folder / "views.csv")
    lesions = lesions[lesions["ok"].astype(bool)].merge(views[["view", "scale_fullpx_per_px"]], on="view")
    assert len(lesions) == 1308
    masks = [read_mask(folder / name) for name in lesions["mask"]]
    size = masks[0].shape
    boxes = lesions[["box_y0", "box_x0", "box_y1", "box_x1"]].to_numpy(dtype=float)
    spacing = np.repeat(lesions["scale_fullpx_per_px"].to_numpy(dtype=float)[:, None] * 0.05, 2, axis=1)
    sizes = np.repeat(np.array([size], dtype=float), len(boxes), axis=0)
    for margin, expected in ((0, 0.88), (2, 0.69), (5, 0.47), (10, 0.28), (20, 0.14)):
        grown = expand_boxes(boxes, margin, spacing, sizes)
        scores = [
            overlap(ellipse_in_box(box, size)[None], mask[None]).dice[0] for box, mask in zip(grown, masks, strict=True)
        ]
        assert np.mean(scores) == pytest.approx(expected, abs=0.006)
