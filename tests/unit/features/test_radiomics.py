from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk  # noqa: N813
from radiomics.featureextractor import RadiomicsFeatureExtractor

from mammoflow.errors import ExcludedCase
from mammoflow.features import stage
from mammoflow.features.families.radiomics import LesionRadiomics, Options
from mammoflow.features.lesion_patch import LesionPatch
from mammoflow.features.stage import extract
from mammoflow.tables.features import FEATURES
from mammoflow.tables.files import read_table

from .conftest import Lesion, disc_mask

CLASSES = ["shape2D", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"]
FEW = Options(classes=["shape2D", "firstorder"], spacing_mm=0.5)


def patch_of(image: np.ndarray, mask: np.ndarray, spacing: float = 0.5) -> LesionPatch:
    return LesionPatch(image.astype(np.float32), mask, np.ones(mask.shape, dtype=bool), spacing)


def grey(shape: tuple[int, int] = (60, 70)) -> np.ndarray:
    return np.random.default_rng(0).integers(1000, 60000, shape)


@pytest.mark.parametrize("centre", [(15.0, 17.0), (2.0, 33.0)])  # the second is cut by the film's edges
def test_values_are_those_of_pyradiomics_on_the_whole_film(centre):
    mask = disc_mask((60, 70), (0.5, 0.5), centre, 6.3)
    image = sitk.GetImageFromArray(grey()[None].astype(np.float32))
    region = sitk.GetImageFromArray(mask[None].astype(np.uint8))
    for volume in (image, region):
        volume.SetSpacing((0.5, 0.5, 1.0))
    plain = RadiomicsFeatureExtractor(binCount=32, force2D=True, additionalInfo=False)
    plain.disableAllFeatures()
    for name in CLASSES:
        plain.enableFeatureClassByName(name)
    expected = plain.execute(image, region)

    found = LesionRadiomics(Options())(patch_of(grey(), mask))

    assert {name.removeprefix("radiomics_") for name in found} == set(expected)
    for name, value in expected.items():
        assert found[f"radiomics_{name}"] == pytest.approx(float(value), rel=1e-9), name


def test_columns_are_those_that_a_lesion_gives():
    compute = LesionRadiomics(Options())
    row = compute(patch_of(grey(), disc_mask((60, 70), (0.5, 0.5), (15.0, 17.0), 5.0)))
    assert set(row) == set(compute.columns)
    assert "radiomics_original_glcm_Contrast" in row
    assert all(math.isfinite(value) for value in row.values())


def test_known_rectangle():
    mask = np.zeros((60, 70), dtype=bool)
    mask[20:28, 30:50] = True
    row = LesionRadiomics(FEW)(patch_of(grey(), mask, spacing=0.25))
    values = grey()[mask].astype(float)
    assert row["radiomics_original_shape2D_PixelSurface"] == pytest.approx(160 * 0.25**2)
    assert row["radiomics_original_firstorder_Mean"] == pytest.approx(values.mean())
    assert row["radiomics_original_firstorder_Variance"] == pytest.approx(values.var())
    assert row["radiomics_original_firstorder_TotalEnergy"] == pytest.approx((values**2).sum() * 0.25**2)


@pytest.mark.parametrize("rows", [slice(20, 21), slice(20, 30)])
def test_line_and_pixel_are_refused(rows):
    mask = np.zeros((60, 70), dtype=bool)
    mask[rows, 30] = True
    with pytest.raises(ExcludedCase, match="not defined"):
        LesionRadiomics(FEW)(patch_of(grey(), mask))


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_classes_without_numbers_are_told():
    mask = np.zeros((60, 70), dtype=bool)
    mask[[20, 23, 26], [30, 33, 29]] = True
    row = LesionRadiomics(Options(classes=["firstorder", "glcm"]))(patch_of(grey(), mask))
    assert row["status"] == "features are not defined for this lesion"
    assert row["detail"] == "24 features of glcm are not defined; expected more neighbouring pixels"
    assert math.isfinite(row["radiomics_original_firstorder_Mean"])
    row = LesionRadiomics(Options(classes=["glcm"], regions=["lesion", "inner"]))(patch_of(grey(), mask))
    assert row["detail"] == "lesion: 24 features of glcm are not defined; expected more neighbouring pixels"
    assert math.isfinite(row["radiomics_inner_original_glcm_Contrast"])


def test_one_grey_level_is_refused():
    mask = disc_mask((60, 70), (0.5, 0.5), (15.0, 17.0), 5.0)
    image = np.where(mask, 777, grey())
    with pytest.raises(ExcludedCase, match="grey level 777"):
        LesionRadiomics(FEW)(patch_of(image, mask))


def test_every_lesion_has_its_row_in_order_with_its_reason(make_shard, capfd):
    flat = np.full((200, 200), 5000, dtype=np.uint16)
    shard = make_shard([Lesion(), Lesion(predicted="empty"), Lesion(image=flat), Lesion(predicted="none"), Lesion()])
    extract("radiomics", Options(spacing_mm=0.5), shard.images, shard.masks, shard.output, threads=1)
    table = read_table(shard.output, FEATURES)
    assert table["lesion_id"].tolist() == [f"lesion-{number}" for number in range(5)]
    assert table["status"].tolist() == [
        "ok",
        "mask is empty",
        "features are not defined for this lesion",
        "no mask found among the files of the lesion",
        "ok",
    ]
    features = table.filter(like="radiomics_")
    assert features.notna().all(axis=1).tolist() == [True, False, False, False, True]
    assert features.isna().all(axis=1).tolist() == [False, True, True, True, False]
    assert capfd.readouterr().err == ""


def test_predicted_and_reference_mask_give_nearly_one_size(make_shard):
    shard = make_shard([Lesion(centre=(40.0, 57.0), radius=14.0)])
    areas = []
    for mask in ("predicted", "reference"):
        settings = FEW.model_copy(update={"mask": mask})
        extract("radiomics", settings, shard.images, shard.masks, shard.output, threads=1)
        areas.append(pd.read_parquet(shard.output)["radiomics_original_shape2D_PixelSurface"].item())
    assert areas[0] == pytest.approx(areas[1], rel=0.03)
    assert areas[1] == pytest.approx(math.pi * 14**2, rel=0.02)


def test_empty_shard_gives_an_empty_table_with_all_columns(make_shard):
    shard = make_shard([])
    extract("radiomics", Options(), shard.images, shard.masks, shard.output, threads=2)
    table = read_table(shard.output, FEATURES)
    assert len(table) == 0
    assert set(LesionRadiomics(Options()).columns) < set(table.columns)


def test_processes_change_nothing(make_shard, monkeypatch):
    shard = make_shard([Lesion(seed=seed, radius=4.0 + seed) for seed in range(5)])
    extract("radiomics", FEW, shard.images, shard.masks, shard.output, threads=1)
    serial = pd.read_parquet(shard.output)
    monkeypatch.setattr(stage, "SERIAL_BELOW", 2)
    extract("radiomics", FEW, shard.images, shard.masks, shard.output, threads=2)
    pd.testing.assert_frame_equal(pd.read_parquet(shard.output), serial, check_exact=True)
