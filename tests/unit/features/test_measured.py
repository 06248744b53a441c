from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from mammoflow.features.families import gabor, radiomics
from mammoflow.features.lesion_patch import LesionPatch, PatchFiles
from mammoflow.features.measured import RegionOptions, measure_regions
from mammoflow.features.other_breast import BreastPicture, landmark, mirrored_place, other_images
from mammoflow.features.regions import border_distance, border_shell
from mammoflow.storage.files import write_image, write_mask
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES

from .conftest import CANONICAL_SHAPE, COLUMN_SPACING, ROW_SPACING, Lesion, disc_mask

SPACING, SIDE = 0.5, 200
EVERYWHERE = np.ones((SIDE, SIDE), dtype=bool)


def disc(radius_mm: float, centre: tuple[float, float] = (50.0, 50.0)) -> np.ndarray:
    return disc_mask((SIDE, SIDE), (SPACING, SPACING), centre, radius_mm)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(30000, 3000, (SIDE, SIDE)).astype(np.float32)


def patch_of(mask: np.ndarray, breast: np.ndarray = EVERYWHERE, **more: object) -> LesionPatch:
    return LesionPatch(noise(), mask, breast, SPACING, **more)  # type: ignore[arg-type]


def test_shell_follows_the_border_of_a_lesion_of_any_size():
    for radius in (3.0, 25.0):
        region = border_shell(disc(radius), EVERYWHERE, 2.0 / SPACING, 5.0 / SPACING)
        expected = math.pi * ((radius + 5) ** 2 - (radius + 2) ** 2)
        assert region.count * SPACING**2 == pytest.approx(expected, rel=0.03)
        assert region.share == 1


def test_shells_share_no_pixel_and_leave_no_gap():
    mask = disc(6.0)
    parts = [border_shell(mask, EVERYWHERE, low, high).pixels for low, high in ((0, 4), (4, 9), (9, 12))]
    whole = border_shell(mask, EVERYWHERE, 0, 12).pixels
    assert np.array_equal(sum(part.astype(int) for part in parts), whole.astype(int))
    assert not (whole & mask).any()


def test_distance_from_the_border_by_hand():
    mask = np.zeros((7, 7), dtype=bool)
    mask[3, 3] = True
    distance = border_distance(mask)
    assert distance[3, 3] == 0
    assert distance[3, 4] == pytest.approx(0.5)
    assert distance[3, 6] == pytest.approx(2.5)
    assert distance[4, 4] == pytest.approx(math.sqrt(2) - 0.5, abs=1e-3)


def test_share_of_a_shell_counts_what_lies_beyond_breast_and_patch():
    half = np.zeros((SIDE, SIDE), dtype=bool)
    half[:, : SIDE // 2] = True
    assert border_shell(disc(6.0), half, 0, 10).share == pytest.approx(0.5, abs=0.01)
    at_edge = disc(6.0, centre=(0.0, 50.0))
    assert 0.5 < border_shell(at_edge, EVERYWHERE, 0, 10).share < 0.6


def test_a_lesion_outside_the_breast_is_left_out_by_its_share():
    half = np.zeros((SIDE, SIDE), dtype=bool)
    half[:, : SIDE // 2] = True
    patch = patch_of(disc(6.0), half)
    measured = measure_regions(RegionOptions(lesion_share=0.8, edge_mm=0.0), patch)
    assert measured.regions["lesion"].share == pytest.approx(0.5, abs=0.02)
    assert not measured.defined
    assert measured.problems[0].startswith("lesion: 50")
    assert "lesion" in measure_regions(RegionOptions(), patch).defined


@pytest.mark.parametrize(
    "values",
    [
        {"shells_mm": [[5.0, 5.0]]},
        {"shells_mm": [[0.0, 5.0], [0.0, 5.0]]},
        {"regions": ["lesion", "lesion"]},
        {"ring_mm": [20.0, 90.0]},
    ],
)
def test_regions_that_cannot_be_are_refused(values):
    with pytest.raises(ValidationError, match="expected"):
        RegionOptions.model_validate(values)


def test_a_shell_wider_than_the_patch_is_refused():
    with pytest.raises(ValueError, match="half of images"):
        RegionOptions(shells_mm=[[0.0, 51.0]]).check_patch(100.0)


def images(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["image_id", "patient_id", "laterality", "view"])
    return table.assign(split="train")


def test_the_other_breast_is_of_the_same_patient_view_and_split():
    table = images(
        ("a", "P1", "L", "CC"),
        ("b", "P1", "R", "CC"),
        ("c", "P1", "R", "MLO"),
        ("d", "P2", "L", "CC"),
        ("e", "P3", "L", ""),
        ("f", "P3", "R", ""),
        ("g", "P1", "R", "CC"),
    )
    assert other_images(table) == {"a": "b", "b": "a", "g": "a"}
    assert other_images(table.assign(split=["train", "test", *["train"] * 5])) == {"a": "g", "g": "a"}


def test_an_image_of_an_unknown_side_has_no_other_breast():
    table = images(("a", "P1", "", "CC"), ("b", "P1", "", "CC"), ("c", "P1", "L", "CC"), ("d", "P1", "R", "CC"))
    assert other_images(table) == {"c": "d", "d": "c"}


def breast(nipple_row: float, on_left: bool, shift: int = 0) -> BreastPicture:
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    region = (((y - nipple_row) / 80) ** 2 + ((x - shift) / 120) ** 2 < 1) & (x > shift)
    region = region if on_left else region[:, ::-1]
    return BreastPicture(noise(), region, SPACING)


def test_mirrored_place_keeps_depth_and_height_above_the_nipple():
    own, other = breast(100, on_left=True), breast(120, on_left=False, shift=10)
    row, wall, on_left = landmark(other)
    assert (row, wall, on_left) == (pytest.approx(120, abs=0.6), pytest.approx(SIDE - 10, abs=1), False)
    place = mirrored_place((80.0, 30.0), own, other)
    assert place == (pytest.approx(100, abs=1), pytest.approx(SIDE - 10 - 30, abs=1.5))
    assert mirrored_place(place, other, own) == (pytest.approx(80, abs=1e-9), pytest.approx(30, abs=1e-9))
    assert mirrored_place((80.0, 30.0), own, own) == (80.0, 30.0)


@pytest.mark.parametrize("faces_right", [True, False])
def test_symmetric_breasts_have_no_asymmetry_whichever_way_their_films_face(make_shard, faces_right):
    shard = make_shard([Lesion(centre=(52.0, 33.4)), Lesion()])
    y, x = (np.mgrid[: CANONICAL_SHAPE[0], : CANONICAL_SHAPE[1]] + 0.5) * [[[ROW_SPACING]], [[COLUMN_SPACING]]]
    breast = ((y - 100) / 90) ** 2 + (x / 160) ** 2 < 1
    angle = math.radians(30)
    wave = np.cos(2 * math.pi * (x * math.cos(angle) + y * math.sin(angle)) / 8)
    film = np.where(breast, 30000 + 9000 * wave, 1000).astype(np.uint16)
    for name, step in (("own", 1), ("other", -1 if faces_right else 1)):
        write_image(shard.images / f"image/{name}.png", np.ascontiguousarray(film[:, ::step]))
        write_mask(shard.images / f"breast/{name}.png", np.ascontiguousarray(breast[:, ::step]))
    table = read_table(shard.images / "images.parquet", CANONICAL_IMAGES).assign(
        patient_id="patient-0",
        laterality=["L", "R"],
        image_file=["image/own.png", "image/other.png"],
        breast_file=["breast/own.png", "breast/other.png"],
    )
    write_table(table, CANONICAL_IMAGES, shard.images / "images.parquet")
    patch = PatchFiles(shard.images, shard.masks, "predicted", 0.5, compares_breasts=True).read(0)
    options = gabor.Options(regions=["inner", "ring", "mirrored"], wavelengths_mm=[8.0, 16.0])
    assert options.orientations == 6
    row = gabor.open_family(options, "cpu")(patch)
    assert row["gabor_asymmetry"] == pytest.approx(1, abs=1e-6)
    same, opposite = (row[f"gabor_mirrored_mean_w8.0_o{angle}"] for angle in ("030", "150"))
    assert same > 2 * opposite
    own, other = patch.breasts
    assert own.mask.any()
    np.testing.assert_array_equal(own.mask, other.mask)
    np.testing.assert_array_equal(own.breast, other.breast)
    np.testing.assert_allclose(own.image, other.image, atol=1)


@pytest.mark.parametrize(("share", "keeps"), [(1, True), (1 / 3, False)])
def test_a_lesion_on_the_muscle_keeps_it_in_both_breasts_and_a_part_of_one_keeps_itself(make_shard, share, keeps):
    shard = make_shard([Lesion(centre=(52.0, 33.4), radius=8.0), Lesion()])
    breast = np.ones(CANONICAL_SHAPE, dtype=bool)
    stripes = np.arange(CANONICAL_SHAPE[1]) * COLUMN_SPACING % 6 < 6 * share  # millimetres
    muscle = breast & stripes
    film = np.full(CANONICAL_SHAPE, 30000, dtype=np.uint16)
    for name in ("own", "other"):
        write_image(shard.images / f"image/{name}.png", film)
        write_mask(shard.images / f"breast/{name}.png", breast)
        write_mask(shard.images / f"pectoral/{name}.png", muscle)
    columns = {f"{kind}_file": [f"{kind}/own.png", f"{kind}/other.png"] for kind in ("image", "breast", "pectoral")}
    table = read_table(shard.images / "images.parquet", CANONICAL_IMAGES)
    table = table.assign(patient_id="patient-0", laterality=["L", "R"], **columns)
    write_table(table, CANONICAL_IMAGES, shard.images / "images.parquet")
    cut, whole = (
        PatchFiles(
            shard.images, shard.masks, "predicted", 0.5, compares_breasts=True, exclude_pectoral=exclude
        ).read(0).breasts
        for exclude in (True, False)
    )  # fmt: skip
    assert cut[0].breast[cut[0].mask].all()
    for part, full in zip(cut, whole, strict=True):
        assert (part.breast.sum() == full.breast.sum()) == keeps


def test_breasts_that_differ_have_asymmetry():
    mask = disc(6.0)
    own = patch_of(mask)
    rough = LesionPatch(np.where(disc(25.0), noise(1) * 3 % 65535, noise(1)), mask, EVERYWHERE, SPACING)
    options = gabor.Options(regions=["inner", "ring", "mirrored"], wavelengths_mm=[4.0, 8.0])
    family = gabor.open_family(options, "cpu")
    alike, unlike = (family(patch_of(mask, breasts=(own, one))) for one in (own, rough))
    assert alike["gabor_asymmetry"] == pytest.approx(1, abs=1e-6)
    assert unlike["gabor_asymmetry"] < alike["gabor_asymmetry"] - 0.001
    assert alike["gabor_mirrored_mean_w4.0_o000"] == pytest.approx(alike["gabor_inner_mean_w4.0_o000"], rel=1e-4)
    alone = family(patch_of(mask))
    assert math.isnan(alone["gabor_asymmetry"])
    assert "no film shows the other breast" in str(alone["detail"])
    assert set(alike) == {*family.columns, *family.description}


def test_radiomics_of_regions_are_those_of_a_lesion_with_their_mask():
    few = {"classes": ["firstorder", "glcm"], "spacing_mm": 0.5}
    mask = disc(6.0)
    options = radiomics.Options(**few, regions=["lesion", "inner", "mirrored"], shells_mm=[[0.0, 5.0]])
    row = radiomics.open_family(options, "cpu")(patch_of(mask, breasts=(patch_of(mask), patch_of(disc(4.0)))))
    alone = radiomics.open_family(radiomics.Options(**few), "cpu")
    pixels = measure_regions(options, patch_of(mask)).regions
    for name, column in (("inner", "inner_original_"), ("shell0to5", "shell0to5_original_"), ("lesion", "original_")):
        expected = alone(patch_of(pixels[name].pixels))
        for feature in ("firstorder_Mean", "glcm_Contrast"):
            assert row[f"radiomics_{column}{feature}"] == expected[f"radiomics_original_{feature}"]
    assert row["inner_share"] == pytest.approx(1, abs=0.01)
    assert math.isfinite(row["radiomics_mirrored_original_glcm_Contrast"])
    assert set(row) == {
        *radiomics.open_family(options, "cpu").columns,
        *radiomics.open_family(options, "cpu").description,
    }


def test_a_region_without_features_leaves_the_others():
    options = radiomics.Options(classes=["firstorder"], regions=["lesion", "ring"], spacing_mm=0.5)
    row = radiomics.open_family(options, "cpu")(patch_of(disc(6.0), disc(20.0)))
    assert math.isfinite(row["radiomics_original_firstorder_Mean"])
    assert "radiomics_ring_original_firstorder_Mean" not in row
    assert row["status"] == "features are not defined for this lesion"
    assert "ring: 0.0% of the region is in the breast" in str(row["detail"])
