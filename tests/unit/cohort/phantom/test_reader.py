"""The phantom study through its reader: what CBIS-DDSM does not have reaches the cohort's tables."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mammoflow.cohort.phantom.population import draw_study
from mammoflow.cohort.phantom.stage import write_phantom_study
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import CohortSettings
from mammoflow.config.phantom import PhantomSettings

SETTINGS = PhantomSettings(patients=14, seed=3, spacing_mm=1.0)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "study"
    write_phantom_study(SETTINGS, folder, threads=1)
    return folder


def tables(study: Path, output: Path, reader: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    dataset = {"reader": reader, "name": "phantom", "folder": str(study)}
    build_cohort(CohortSettings.model_validate({"dataset": dataset, "shards": 1}), study, output)
    return pd.read_parquet(output / "lesions.parquet"), pd.read_parquet(output / "images.parquet")


def test_each_lesion_carries_its_hidden_suspicion(study: Path, tmp_path: Path) -> None:
    lesions, _ = tables(study, tmp_path / "cohort", "phantom")
    drawn = sorted(f.suspicion for breast in draw_study(SETTINGS) for f in breast.findings for _ in f.views)
    assert sorted(lesions["hidden_suspicion"]) == pytest.approx(drawn, abs=1e-4)
    assert roc_auc_score(lesions["malignant"], lesions["hidden_suspicion"]) > 0.85


def test_normal_films_are_in_the_cohort_without_a_lesion(study: Path, tmp_path: Path) -> None:
    lesions, images = tables(study, tmp_path / "cohort", "phantom")
    normal = images[~images["image_id"].isin(lesions["image_id"])]
    names = {breast.patient_id for breast in draw_study(SETTINGS) if not breast.findings}
    assert set(normal["patient_id"]) == names
    assert sorted(normal["view"]) == ["CC", "MLO"]
    assert normal[["labelled", "fully_annotated"]].all().all()
    assert normal["density"].between(1, 4).all()
    assert (normal["spacing_origin"] == "table").all()


def test_the_reader_of_the_download_takes_neither(study: Path, tmp_path: Path) -> None:
    lesions, images = tables(study, tmp_path / "cohort", "cbis-ddsm")
    assert "hidden_suspicion" not in lesions
    assert set(images["image_id"]) == set(lesions["image_id"])


def test_a_study_without_the_table_and_the_column_is_read_as_before(study: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(study, old)
    (old / "normal_films.csv").unlink()
    for path in old.glob("*_case_description_*.csv"):
        text = path.read_bytes().decode()
        lines = [line.rsplit(",", 1)[0] for line in text.removesuffix("\r\n").split("\r\n")]
        path.write_bytes(("\r\n".join(lines) + "\r\n").encode())
    lesions, images = tables(old, tmp_path / "cohort", "phantom")
    assert lesions["hidden_suspicion"].isna().all()
    assert set(images["image_id"]) == set(lesions["image_id"])
