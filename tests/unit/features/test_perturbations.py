from __future__ import annotations

import numpy as np
import pytest

from mammoflow.errors import ExcludedCase
from mammoflow.features.lesion_patch import LesionPatch, PatchFiles
from mammoflow.features.perturbations import resized_mask, rotated
from mammoflow.imaging.geometry import box_of

from .conftest import Lesion, disc_mask

SIDE = 80


def patch(mask: np.ndarray) -> LesionPatch:
    image = np.zeros((SIDE, SIDE), dtype=np.float32)
    image[mask] = 1000
    return LesionPatch(image, mask, np.ones((SIDE, SIDE), dtype=bool), 0.5)


def bar() -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[38:42, 20:60] = True
    return mask


def test_masks_grow_and_shrink_by_pixels():
    assert box_of(resized_mask(patch(bar()), 2).mask) == (36, 18, 44, 62)
    assert box_of(resized_mask(patch(bar()), -1).mask) == (39, 21, 41, 59)
    with pytest.raises(ExcludedCase, match="nothing is left of a mask that shrinks by 3 pixels"):
        resized_mask(patch(bar()), -3)


def test_rotation_is_clockwise_about_the_lesion_and_takes_image_and_mask_along():
    turned = rotated(patch(bar()), 90.0)
    assert box_of(turned.mask) == (20, 38, 60, 42)
    assert turned.image[turned.mask].mean() == pytest.approx(1000, rel=1e-3)
    assert turned.image[~turned.mask].max() < 600
    slanted = rotated(patch(bar()), 30.0).mask
    rows = [np.flatnonzero(slanted[:, column]).mean() for column in (30, 50)]
    assert rows[1] - rows[0] == pytest.approx(20 * np.tan(np.radians(30)), abs=1)


def test_no_rotation_changes_nothing_and_a_pixel_never_vanishes():
    same = rotated(patch(bar()), 0.0)
    np.testing.assert_array_equal(same.mask, bar())
    np.testing.assert_allclose(same.image, patch(bar()).image)
    pixel = np.zeros((SIDE, SIDE), dtype=bool)
    pixel[40, 40] = True
    assert rotated(patch(pixel), 20.0).mask.any()


def test_a_wrong_spacing_changes_the_scale_of_the_patch(make_shard):
    shard = make_shard([Lesion(spacing=0.5, radius=8.0)])
    plain, wide = (
        PatchFiles(shard.images, shard.masks, "reference", 0.5, spacing_factor=factor).read(0) for factor in (1.0, 0.8)
    )
    assert wide.mask.sum() == pytest.approx(0.64 * plain.mask.sum(), rel=0.05)
    assert PatchFiles(shard.images, None, "reference", 0.2, spacing_factor=1.2).spacing(0) == pytest.approx(0.6)


def test_box_is_a_mask_of_its_own(make_shard):
    shard = make_shard([Lesion(spacing=0.5)])
    # The box has rows 60 to 80 of 1 mm and columns 100 to 120 of 0.8 mm; the patch begins at 20 and 40 mm.
    assert box_of(PatchFiles(shard.images, None, "box", 0.5).read(0).mask) == (80, 80, 120, 112)


def test_disc_keeps_its_place():
    mask = disc_mask((SIDE, SIDE), (0.5, 0.5), (14.0, 25.0), 5.0)
    assert box_of(rotated(patch(mask), 5.0).mask) == pytest.approx(box_of(mask), abs=1)
