from __future__ import annotations

import numpy as np
import pytest

from mammoflow.errors import ExcludedCase, StudyError
from mammoflow.features.lesion_patch import PatchFiles
from mammoflow.reasons.features import FeatureReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.storage.files import write_mask
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES

from .conftest import Lesion, disc_mask


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_predicted_mask_lies_on_the_lesion(make_shard):
    shard = make_shard([Lesion(centre=(35.0, 60.0), radius=12.0)])
    patch = PatchFiles(shard.images, shard.masks, "predicted", 0.5).read(0)
    expected = disc_mask((200, 200), (0.5, 0.5), (35.0, 60.0), 12.0)
    assert overlap(patch.mask, expected) > 0.93


def test_reference_and_predicted_mask_agree_at_a_coarser_spacing(make_shard):
    shard = make_shard([Lesion(spacing=0.25, centre=(61.0, 44.0), radius=15.0)])
    predicted = PatchFiles(shard.images, shard.masks, "predicted", 1.0).read(0)
    reference = PatchFiles(shard.images, shard.masks, "reference", 1.0).read(0)
    assert predicted.image.shape == reference.mask.shape == (100, 100)
    assert reference.spacing_mm == 1.0
    assert overlap(predicted.mask, reference.mask) > 0.9
    assert reference.mask.sum() == pytest.approx(np.pi * 15**2, rel=0.02)


def test_coarser_film_keeps_its_pixels(make_shard):
    lesion = Lesion(spacing=0.5)
    shard = make_shard([lesion])
    patch = PatchFiles(shard.images, shard.masks, "predicted", 0.2).read(0)
    assert patch.spacing_mm == 0.5
    assert np.array_equal(patch.image, lesion.image)


def test_coarser_spacing_averages_grey_levels(make_shard):
    lesion = Lesion(spacing=0.5)
    shard = make_shard([lesion])
    image = PatchFiles(shard.images, shard.masks, "predicted", 1.0).read(0).image
    expected = lesion.image.reshape(100, 2, 100, 2).mean(axis=(1, 3), dtype=float)
    np.testing.assert_allclose(image, expected, atol=0.5)


@pytest.mark.parametrize(
    ("lesion", "source", "reason"),
    [
        (Lesion(predicted="empty"), "predicted", LesionReason.MASK_EMPTY),
        (Lesion(predicted="none"), "predicted", LesionReason.MASK_NOT_FOUND),
        (Lesion(reference=False), "reference", LesionReason.MASK_NOT_FOUND),
        (Lesion(radius=0.3), "reference", LesionReason.MASK_EMPTY),
    ],
)
def test_lesion_without_a_mask_is_told_apart(make_shard, lesion, source, reason):
    shard = make_shard([lesion])
    with pytest.raises(ExcludedCase) as caught:
        PatchFiles(shard.images, shard.masks, source, 2.0).read(0)
    assert caught.value.reason is reason


def test_a_tiny_mask_does_not_vanish_where_the_patch_is_made_coarser(make_shard):
    shard = make_shard([Lesion(spacing=0.25, centre=(25.0, 25.0), radius=0.4)])
    fine = PatchFiles(shard.images, shard.masks, "reference", 0.25).read(0).mask
    assert fine.sum() == 12  # three fine pixels in each of four coarse ones, of 16
    coarse = PatchFiles(shard.images, shard.masks, "reference", 1.0).read(0).mask
    assert 1 <= coarse.sum() <= 4
    np.testing.assert_allclose(np.argwhere(coarse).mean(axis=0) + 0.5, [25.0, 25.0], atol=1.0)


def test_an_image_without_a_pixel_spacing_has_no_features(make_shard):
    shard = make_shard([Lesion()])
    path = shard.images / "images.parquet"
    write_table(read_table(path, CANONICAL_IMAGES).assign(spacing_origin="pixels"), CANONICAL_IMAGES, path)
    with pytest.raises(ExcludedCase) as caught:
        PatchFiles(shard.images, shard.masks, "reference", 0.5).read(0)
    assert caught.value.reason is FeatureReason.NO_MILLIMETRES


def test_damaged_patch_stops_the_stage(make_shard):
    shard = make_shard([Lesion()])
    (shard.images / "patch/0.png").write_bytes(b"nothing")
    with pytest.raises(StudyError, match=r"0\.png"):
        PatchFiles(shard.images, shard.masks, "predicted", 0.5).read(0)


@pytest.mark.parametrize("radius", [6.0, 20.0])
def test_pectoral_muscle_is_left_out_on_request(make_shard, radius):
    # The muscle covers the patch's upper 40 mm; of the lesion the smaller part lies there.
    lesion = Lesion(centre=(46.0, 50.0), radius=radius)
    shard = make_shard([lesion])
    muscle = np.zeros((200, 250), dtype=bool)
    muscle[:60] = True
    write_mask(shard.images / "pectoral/a.png", muscle)
    images = read_table(shard.images / "images.parquet", CANONICAL_IMAGES).assign(pectoral_file="pectoral/a.png")
    write_table(images, CANONICAL_IMAGES, shard.images / "images.parquet")
    whole = PatchFiles(shard.images, shard.masks, "reference", 0.5).read(0)
    without = PatchFiles(shard.images, shard.masks, "reference", 0.5, exclude_pectoral=True).read(0)
    assert whole.breast.all()
    above = np.zeros_like(whole.mask)
    above[:80] = True
    np.testing.assert_array_equal(without.breast, ~above | whole.mask)


def test_lesion_on_the_muscle_keeps_it(make_shard):
    shard = make_shard([Lesion(centre=(30.0, 50.0))])
    muscle = np.zeros((200, 250), dtype=bool)
    muscle[:60] = True
    write_mask(shard.images / "pectoral/a.png", muscle)
    images = read_table(shard.images / "images.parquet", CANONICAL_IMAGES).assign(pectoral_file="pectoral/a.png")
    write_table(images, CANONICAL_IMAGES, shard.images / "images.parquet")
    assert PatchFiles(shard.images, shard.masks, "reference", 0.5, exclude_pectoral=True).read(0).breast.all()
