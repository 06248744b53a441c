"""The stage on the real tables: CBIS-DDSM's with tiny pictures in place of its films, and two real studies by table."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from mammoflow.cohort.case_tables import read_case_tables
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import CohortSettings, DatasetSettings
from mammoflow.config.split import SplitSettings
from mammoflow.tables.cohort import IMAGES, LESIONS
from mammoflow.tables.files import read_table

OFFICIAL_TEST_TABLES = ["mass_case_description_test_set.csv", "calc_case_description_test_set.csv"]


def run(dataset: DatasetSettings, study: Path, output: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    build_cohort(CohortSettings(dataset=dataset, split=SplitSettings(method="random")), study, output)
    images, lesions = (
        read_table(output / f"{name}.parquet", schema) for name, schema in (("images", IMAGES), ("lesions", LESIONS))
    )
    assert (images.groupby("patient_id")["split"].nunique() == 1).all()
    assert set(lesions["image_id"]) <= set(images["image_id"])
    return images, lesions, json.loads((output / "study.json").read_text())


@pytest.fixture
def tiny_download(download, real_data, tmp_path) -> Path:
    """The official test tables with their real paths; every file is a link to one of three tiny pictures."""
    study = tmp_path / "study"
    film = download.write_dicom(tmp_path / "film.dcm", download.film_pixels((60, 40)))
    mask = download.write_dicom(tmp_path / "mask.dcm", download.mask_pixels((60, 40)))
    crop = download.write_dicom(tmp_path / "crop.dcm", download.film_pixels((21, 17)))
    study.mkdir()
    for name in OFFICIAL_TEST_TABLES:
        shutil.copyfile(real_data / "cbis-ddsm" / name, study / name)
    rows = read_case_tables(study)
    places = ["image_file_path", "roi_mask_file_path", "cropped_image_file_path"]
    for number, paths in enumerate(rows[places].itertuples(index=False)):
        swapped = number % 2 == 1
        for path, source in zip(paths, [film, crop if swapped else mask, mask if swapped else crop], strict=True):
            target = study / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                os.link(source, target)
    return study


def test_every_row_of_the_real_test_tables_finds_its_files(tiny_download, tmp_path):
    dataset = DatasetSettings(reader="cbis-ddsm", name="CBIS-DDSM", folder=str(tiny_download), spacing_mm=0.05)
    images, lesions, study = run(dataset, tiny_download, tmp_path / "cohort")
    rows = read_case_tables(tiny_download)
    # All masks are one file here, and so lesions of one image with opposite labels have the same mask.
    assert study["counts"]["excluded_lesions"] == {"the same image has contradictory labels": 12}
    assert len(lesions) + 12 == len(rows) == 704
    films = rows["patient_id"] + rows["left_or_right_breast"] + rows["image_view"]
    labels = (rows["pathology"] == "MALIGNANT").groupby(films)
    mixed = films[films.isin(labels.mean()[lambda share: (share > 0) & (share < 1)].index)]
    assert len(mixed) == 12
    assert len(images) == films.nunique() - mixed.nunique()
    alike = rows[~films.isin(mixed)]
    assert (lesions["malignant"] == 1).sum() == (alike["pathology"] == "MALIGNANT").sum()
    masks = {(tiny_download / path).stat().st_ino for path in lesions["mask_path"]}
    assert masks == {(tmp_path / "mask.dcm").stat().st_ino}


def test_the_real_256_set(real_data, tmp_path):
    study = real_data / "cbis-ddsm-mass-256"
    columns = {
        "patient": "patient_id",
        "view": "image_view",
        "label": "pathology",
        "birads": "assessment",
        "density": "breast_density",
        "type": "=mass",
        "shape": "mass_shape",
        "margins": "mass_margins",
        "spacing": "scale_fullpx_per_px",
        "usable": "ok",
        "image_id": "view",
        "finding": "abnormality_id",
    }
    dataset = DatasetSettings(
        reader="table",
        name="CBIS-DDSM masses",
        folder=str(study),
        tables=["lesions.csv"],
        options={"joins": [{"table": "views.csv", "column": "view"}], "columns": columns, "spacing_factor": 0.05},
    )
    images, lesions, summary = run(dataset, study, tmp_path / "cohort")
    table = pd.read_csv(study / "lesions.csv")
    usable = table[table["ok"]]
    assert len(lesions) == len(usable) == 1308
    assert images["image_id"].nunique() == usable["view"].nunique()
    assert images["patient_id"].nunique() == 691
    assert summary["counts"]["excluded_lesions"] == {"row is marked unusable in the case table": 10}
    assert (lesions["malignant"] == 1).sum() == (usable["pathology"] == "MALIGNANT").sum()
    assert lesions["birads"].isna().sum() == usable["assessment"].isna().sum()
    scale = pd.read_csv(study / "views.csv").set_index("view")["scale_fullpx_per_px"]
    spacing = images.set_index("image_id")["spacing_mm"]
    pd.testing.assert_series_equal(spacing, scale.loc[spacing.index] * 0.05, check_names=False)
    several = lesions[lesions["mask_path"].str.startswith("masks_split/")]
    assert several["lesion_id"].str.contains("_L[1-6]$").all()
    assert (several["finding_id"] == several["lesion_id"]).all()
    shares = lesions.groupby("split")["malignant"].mean()
    assert shares.max() - shares.min() < 0.1


def test_the_real_ultrasound_set(real_data, tmp_path):
    study = real_data / "busi"
    dataset = DatasetSettings(
        reader="table",
        name="BUSI",
        folder=str(study),
        tables=["images.csv"],
        options={
            "columns": {
                "image": "{label}/{image}.png",
                "mask": "{label}/{image}_mask.png",
                "patient": "near_duplicate_group",
            }
        },
        spacing_mm=0.2,
    )
    images, lesions, _ = run(dataset, study, tmp_path / "cohort")
    assert len(images) == 626  # normal images stay, without a lesion
    assert len(lesions) == 350 + 169
    assert (images["laterality"] == "").all()
    assert (images["view"] == "").all()
    assert all((study / path).is_file() for path in [*images["image_path"], *lesions["mask_path"]])
    twins = images[images["image_path"].isin(["benign/benign (433).png", "malignant/malignant (145).png"])]
    assert twins["split"].nunique() == 1
