"""Two real films at full size go from DICOM through the image stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from mammoflow.config.images import ImagesSettings
from mammoflow.imaging.geometry import box_of, covered_share
from mammoflow.imaging.stage import prepare_images
from mammoflow.storage.files import array_digest, read_image, read_mask
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS
from mammoflow.tables.files import empty_table, read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS

SPACING_MM = 0.0435  # HOWTEK; the true scanner of these two films is not known here
FULL = "cbis-ddsm/full"
P1 = ("P_00001", "L", "CC", f"{FULL}/Mass-Training_P_00001_LEFT_CC_0.jpg")
P1_MASK = f"{FULL}/Mass-Training_P_00001_LEFT_CC_1_0_mask.jpg"
P116 = ("P_00116", "R", "MLO", f"{FULL}/Mass-Test_P_00116_RIGHT_MLO.png")
P116_BOX = (1149.0, 1717.0, 1635.0, 2214.0)  # where the crop of its second lesion matches the film (r = .99997)
MIB = 2**20


def _rows(patient: str, side: str, view: str, schema: Any) -> dict[str, Any]:
    common = {"patient_id": patient, "source": "real", "laterality": side, "view": view, "density": 3}
    common |= {"official_split": "", "split": "train", "shard": 0, "image_id": f"{patient}_{side}_{view}"}
    return {name: common.get(name) for name in schema.columns}


@pytest.fixture(scope="module")
def prepared(
    real_data: Path, wrap_in_real_header: Callable[[Path, Path], None], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    root = tmp_path_factory.mktemp("full_films")
    study, shard, output = root / "study", root / "shard", root / "images"
    images, lesions = [], []
    for patient, side, view, picture in (P1, P116):
        wrap_in_real_header(real_data / picture, study / patient / "000000.dcm")
        images.append(
            _rows(patient, side, view, IMAGES)
            | {"image_path": f"{patient}/000000.dcm", "default_spacing_mm": SPACING_MM}
        )
        lesion = {"lesion_id": f"{patient}_1", "finding_id": f"{patient}_1", "lesion_type": "mass", "malignant": 1}
        if patient == "P_00001":
            wrap_in_real_header(real_data / P1_MASK, study / patient / "000001.dcm")
            lesion["mask_path"] = f"{patient}/000001.dcm"
        else:
            lesion |= dict(zip(("box_y0", "box_x0", "box_y1", "box_x1"), P116_BOX, strict=True))
        lesions.append(_rows(patient, side, view, LESIONS) | lesion)
    write_table(pd.concat([empty_table(IMAGES), pd.DataFrame(images)]), IMAGES, shard / "images.parquet")
    write_table(pd.concat([empty_table(LESIONS), pd.DataFrame(lesions)]), LESIONS, shard / "lesions.parquet")
    prepare_images(ImagesSettings(), study, shard, output, threads=2)
    return output


def test_nothing_is_excluded(prepared: Path) -> None:
    assert read_table(prepared / "excluded.parquet", EXCLUDED).empty
    assert len(read_table(prepared / "lesions.parquet", CANONICAL_LESIONS)) == 2


def test_canonical_image_is_the_film_reduced(prepared: Path, real_data: Path) -> None:
    images = read_table(prepared / "images.parquet", CANONICAL_IMAGES).set_index("patient_id")
    row = images.loc["P_00001"]
    film = cv2.imread(str(real_data / P1[3]), cv2.IMREAD_GRAYSCALE)
    image = read_image(prepared / row["image_file"])
    assert image.dtype == np.uint16
    assert image.shape == (1024, 644) == (row["height"], row["width"])
    assert (row["film_height"], row["film_width"]) == film.shape
    assert row["spacing_origin"] == "default"
    assert row["row_spacing_mm"] == pytest.approx(SPACING_MM * 4808 / 1024)
    assert row["digest"] == array_digest(image)
    # The mean over a quarter of the film is the same before and after.
    assert image[:512, :322].mean() == pytest.approx(257 * film[:2404, :1512].mean(), rel=1e-3)


def test_true_mask_has_its_known_box(prepared: Path) -> None:
    lesions = read_table(prepared / "lesions.parquet", CANONICAL_LESIONS).set_index("patient_id")
    row = lesions.loc["P_00001"]
    box = [row[name] * 4808 / 1024 for name in ("y0", "y1")] + [row[name] * 3024 / 644 for name in ("x0", "x1")]
    assert box == pytest.approx([2422, 2896, 270, 660], abs=2)
    assert 17 < row["diameter_mm"] < np.hypot(474, 390) * SPACING_MM + 0.1
    mask = read_mask(prepared / row["mask_file"])
    assert box_of(mask) == pytest.approx((row["y0"], row["x0"], row["y1"], row["x1"]), abs=2)


def test_patches_show_the_film_at_its_own_resolution(prepared: Path, real_data: Path) -> None:
    images = read_table(prepared / "images.parquet", CANONICAL_IMAGES).set_index("patient_id")
    lesions = read_table(prepared / "lesions.parquet", CANONICAL_LESIONS).set_index("patient_id")
    row, image_row = lesions.loc["P_00001"], images.loc["P_00001"]
    film = cv2.imread(str(real_data / P1[3]), cv2.IMREAD_GRAYSCALE)
    patch = read_image(prepared / row["patch_file"])
    assert row["patch_spacing_mm"] == SPACING_MM
    assert patch.shape[0] == patch.shape[1] >= 100 / SPACING_MM
    top = round(row["patch_y0"] * 4808 / 1024)
    left = round(row["patch_x0"] * 3024 / 644)
    assert left < 0 < top
    assert np.all(patch[:, :-left] == 0)
    np.testing.assert_array_equal(patch[:, -left:], film[top : top + patch.shape[0], : patch.shape[1] + left] * 257.0)
    canonical = read_mask(prepared / row["mask_file"])
    spacings, corner = (image_row["row_spacing_mm"], image_row["column_spacing_mm"]), (row["patch_y0"], row["patch_x0"])
    edges = [
        (np.arange(canonical.shape[axis] + 1) - corner[axis]) * spacings[axis] / row["patch_spacing_mm"]
        for axis in (0, 1)
    ]
    patch_mask = read_mask(prepared / row["patch_mask_file"])
    np.testing.assert_array_equal(covered_share(patch_mask, *edges) > 0.5, canonical)


def test_breast_is_found_without_label_and_border(prepared: Path) -> None:
    images = read_table(prepared / "images.parquet", CANONICAL_IMAGES).set_index("patient_id")
    left_cc = read_mask(prepared / images.loc["P_00001", "breast_file"])
    right_mlo = read_mask(prepared / images.loc["P_00116", "breast_file"])
    assert 0.30 < left_cc.mean() < 0.36
    assert 0.31 < right_mlo.mean() < 0.37
    assert not left_cc[:115].any()  # the label and the upper border
    assert not right_mlo[:, :130].any()  # the label
    assert left_cc[500:600, 30:300].all()
    assert right_mlo[400:680, 350:600].all()


def test_box_lesion_has_no_mask(prepared: Path) -> None:
    row = read_table(prepared / "lesions.parquet", CANONICAL_LESIONS).set_index("patient_id").loc["P_00116"]
    assert pd.isna(row["mask_file"])
    assert pd.isna(row["patch_mask_file"])
    assert row["diameter_mm"] == pytest.approx(497 * SPACING_MM)
    assert row["area_mm2"] == pytest.approx(486 * 497 * SPACING_MM**2)


def test_peak_memory_is_reported_and_bounded(
    prepared: Path, real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = prepared.parent
    prepare_images(ImagesSettings(), root / "study", root / "shard", tmp_path / "again", threads=1)
    text = capsys.readouterr().err
    print(text)
    peak = float(text.split("peak memory of a worker ")[1].split(" MiB")[0])
    assert 100 < peak < 700
    assert (tmp_path / "again" / "images.parquet").read_bytes() == (prepared / "images.parquet").read_bytes()
