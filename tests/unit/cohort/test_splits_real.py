"""Splits on the real case tables: the official test set, folds, and the split that the shipped model was trained on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from mammoflow.cohort.division import divide, keep_official_test
from mammoflow.cohort.reader import open_reader
from mammoflow.cohort.several_studies import Pool
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import CohortSettings, DatasetSettings
from mammoflow.config.reading import read_config
from mammoflow.config.split import SplitSettings
from mammoflow.reasons.cohort import CohortReason
from mammoflow.segmentation.models.small import WEIGHTS
from mammoflow.tables.cohort import IMAGES
from mammoflow.tables.files import read_table
from mammoflow.weights.seen_patients import seen_patients

ROOT = Path(__file__).resolve().parents[3]
PRESET = [ROOT / "config.yaml", ROOT / "workflow" / "presets" / "cbis-ddsm-mass-256.yaml"]

# Digests of the sorted patient ids of each side, computed before there were further methods.
PRESET_SPLIT = {
    "train": (470, "90e67e2bd89564c1933fe773791e478db4c349220dab9fde7fe321cb154ce5b0"),
    "validation": (83, "d6f622a3d151fbeb5fa12751c8d0eb5cade790ec81bf9fc43379c90d343f33a8"),
    "test": (138, "ded2713895192217ebee8e26f9ab95fabd42fb3e738d4055e2822ff6b7c266f9"),
}


@pytest.fixture(scope="module")
def pool(real_data: Path) -> Pool:
    """Every row of the four official tables as if all of its files were there."""
    folder = real_data / "cbis-ddsm"
    rows, unread = open_reader(DatasetSettings(reader="cbis-ddsm", folder=str(folder)), folder).read_rows()
    assert not unread
    lesions = rows.assign(source="CBIS-DDSM", malignant=(rows["label"] == "malignant").astype(int), mask_path="")
    sides = rows.groupby("image_id")["official_split"].agg(lambda found: "test" if "test" in set(found) else "train")
    images = lesions.drop_duplicates("image_id").assign(image_path="", spacing_mm=None, labelled=True)
    images["fully_annotated"] = True
    images["official_split"] = images["image_id"].map(sides)
    return Pool(rows.assign(source="CBIS-DDSM"), images, lesions, [], [])


def test_the_official_test_set_stays_and_31_patients_leave_training(pool):
    safe = keep_official_test(pool)
    images, lesions = divide(CohortSettings(split=SplitSettings(method="official")), safe)
    of_test = pool.rows[pool.rows["official_split"] == "test"]
    test = lesions[lesions["split"] == "test"]
    assert set(test["lesion_id"]) == set(of_test["lesion_id"])
    assert len(test) == 378 + 326
    assert set(images.loc[images["split"] == "test", "image_id"]) == set(of_test["image_id"])
    shared = set(of_test["patient_id"]) & set(pool.rows.loc[pool.rows["official_split"] == "train", "patient_id"])
    assert len(shared) == 31
    training_rows = pool.rows["patient_id"].isin(shared) & (pool.rows["official_split"] == "train")
    gone = [case.lesion_id for case in safe.excluded if case.level == "lesion"]
    assert len(gone) == 83
    assert sorted(gone) == sorted(pool.rows.loc[training_rows, "lesion_id"])
    assert {case.reason for case in safe.excluded} == {CohortReason.OFFICIAL_TEST_PATIENT}
    assert len(lesions) + len(gone) == 3568
    assert sum(case.level == "image" for case in safe.excluded) == 35
    assert len(images) == 3032 - 35
    partly = images[~images["fully_annotated"]]
    assert set(partly["split"]) == {"test"}
    assert len(partly) == 29
    assert sum(case.level == "lesion" and case.image_id in set(partly["image_id"]) for case in safe.excluded) == 38
    assert safe.flow[-1]["excluded"] == {str(CohortReason.OFFICIAL_TEST_PATIENT): len(gone)}
    assert (safe.flow[-1]["lesions"], safe.flow[-1]["patients"]) == (len(lesions), 1566)
    assert (lesions.groupby("patient_id")["split"].nunique() == 1).all()


def test_five_folds_hold_each_of_1566_patients_once(pool):
    seen: list[str] = []
    for fold in range(5):
        split = SplitSettings(method="kfold", fold=fold)
        images, lesions = divide(CohortSettings(split=split), pool)
        test = images[images["split"] == "test"]
        assert (test["fold"] == fold).all()
        assert (images.groupby("patient_id")["split"].nunique() == 1).all()
        patients = sorted(test["patient_id"].unique())
        assert abs(len(patients) - 1566 / 5) < 2
        malignant = lesions[lesions["malignant"] == 1].groupby("patient_id").size()
        share = pd.Series(patients).isin(malignant.index).mean()
        assert abs(share - images["patient_id"].drop_duplicates().isin(malignant.index).mean()) < 0.005
        seen += patients
    assert sorted(seen) == sorted(pool.images["patient_id"].unique())
    assert len(seen) == 1566


def test_the_published_protocol_leaks_and_says_so(pool):
    images, lesions = divide(CohortSettings(split=SplitSettings(method="by_image")), pool)
    assert (images["leaking"] == 1).all()
    assert (lesions["leaking"] == 1).all()
    assert (images.groupby("patient_id")["split"].nunique() > 1).sum() > 500
    assert (lesions.groupby("image_id")["split"].nunique() == 1).all()


def test_the_split_of_the_preset_that_the_shipped_model_was_trained_on(real_data, tmp_path):
    cohort = read_config(PRESET).cohort
    build_cohort(cohort, real_data / "cbis-ddsm-mass-256", tmp_path)
    images = read_table(tmp_path / "images.parquet", IMAGES)
    sides = {side: sorted(part["patient_id"].unique()) for side, part in images.groupby("split")}
    found = {side: (len(ids), hashlib.sha256("\n".join(ids).encode()).hexdigest()) for side, ids in sides.items()}
    assert found == PRESET_SPLIT
    assert set(sides["train"]) <= seen_patients(WEIGHTS)
    assert not seen_patients(WEIGHTS) & {*sides["validation"], *sides["test"]}
