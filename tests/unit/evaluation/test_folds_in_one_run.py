"""A run that makes every fold gives the tables of the runs of single folds, from one set of images and features."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammoflow.cohort.folds import write_fold
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import CohortSettings, DatasetSettings
from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.config.features import FEATURE_FAMILIES
from mammoflow.config.images import ImagesSettings
from mammoflow.errors import StudyError
from mammoflow.evaluation.fold_runs import pool_folds
from mammoflow.evaluation.inputs import read_run
from mammoflow.evaluation.pooling import Fold, pooled_run
from mammoflow.evaluation.provenance_record import provenance, recorded_inputs
from mammoflow.evaluation.stage import write_record
from mammoflow.features.stage import extract
from mammoflow.imaging.stage import prepare_images
from mammoflow.storage.files import read_image, text_digest
from mammoflow.tables.classes import CLASS_PREDICTIONS
from mammoflow.tables.files import write_table
from mammoflow.tables.predictions import PREDICTIONS
from tests.unit.evaluation.tiny_run import write_study

FOLDS = 2
CLASSES = ("even", "odd")
SETTINGS = ComparisonSettings(bootstrap=100, fewest_patients=2, fewest_cases=3)
IMAGES = ImagesSettings(breast_region="whole")


def cohort_settings(study: Path, fold: int | str) -> CohortSettings:
    dataset = DatasetSettings(reader="table", name="tiny", folder=str(study), tables=["cases.csv"])
    split = {"method": "kfold", "folds": FOLDS, "fold": fold}
    return CohortSettings.model_validate({"dataset": dataset, "shards": 1, "split": split})


def write_features(images: Path, output: Path) -> Path:
    options = FEATURE_FAMILIES.options("gabor")(mask="reference")  # type: ignore[call-arg]
    extract("gabor", options, images, None, output, 1)  # type: ignore[arg-type]
    return output


def write_predictions(images: Path, fold: int, folder: Path) -> Path:
    """Write what a classifier of a fold might say: other numbers in each fold, all lesions with the fold's sides."""
    lesions = pd.read_parquet(images / "lesions.parquet")
    values = [int(text_digest(str(fold), name)[:8], 16) / 16**8 for name in lesions["lesion_id"]]
    table = lesions[["lesion_id", "image_id", "patient_id", "split", "malignant"]].assign(
        model="made_up", seed=0, probability=values, threshold=0.4 + 0.1 * fold
    )
    predicted = (table["probability"] >= table["threshold"]).astype(int)
    write_table(table.assign(predicted=predicted), PREDICTIONS, folder / "predictions.parquet")
    return folder


def write_class_predictions(images: Path, fold: int, folder: Path) -> Path:
    """Write what a classifier of two classes might say of every image, other numbers in each fold."""
    table = pd.read_parquet(images / "images.parquet")[["image_id", "patient_id", "split"]]
    numbers = table["patient_id"].str[1:].astype(int)
    table = table.assign(image_class=[CLASSES[number % 2] for number in numbers], model="two", seed=0)
    table["share"] = [int(text_digest(str(fold), name)[:8], 16) / 16**8 for name in table["image_id"]]
    parts = [
        table.assign(class_number=number, predicted_class=name, probability=table["share"].rsub(number).abs())
        for number, name in enumerate(CLASSES)
    ]
    file = folder / "class_predictions.parquet"
    write_table(pd.concat(parts, ignore_index=True).drop(columns="share"), CLASS_PREDICTIONS, file)
    return file


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_study(folder)
    return folder


@pytest.fixture(scope="module")
def run(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables before the comparison of a run that makes every fold."""
    root = tmp_path_factory.mktemp("run")
    build_cohort(cohort_settings(study, "all"), study, root / "cohort")
    prepare_images(IMAGES, study, root / "cohort" / "shards" / "00", root / "images" / "00", 2)
    write_features(root / "images" / "00", root / "features" / "gabor" / "00.parquet")
    for fold in range(FOLDS):
        folder = root / f"fold-{fold}"
        write_fold(fold, root / "cohort", [root / "images" / "00"], folder)
        write_predictions(folder / "images" / "00", fold, folder / "classification" / "made_up")
        write_class_predictions(folder / "images" / "00", fold, folder / "classification" / "two")
    return root


@pytest.fixture(scope="module")
def single_runs(study: Path, run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The runs of the folds one by one, each with images and features of its own, and the record of a comparison."""
    runs = []
    for fold in range(FOLDS):
        root = tmp_path_factory.mktemp(f"fold{fold}")
        build_cohort(cohort_settings(study, fold), study, root / "cohort")
        prepare_images(IMAGES, study, root / "cohort" / "shards" / "00", root / "images" / "00", 2)
        features = write_features(root / "images" / "00", root / "features" / "gabor" / "00.parquet")
        predictions = write_predictions(root / "images" / "00", fold, root / "classification" / "made_up")
        inputs = {"cohort": root / "cohort", "images": [root / "images" / "00"], "segmentation": []}
        inputs |= {"features": [features], "predictions": [predictions]}
        record = provenance(SETTINGS, read_run(**inputs), recorded_inputs(**inputs, prompts=[]))
        write_record(root / "comparison" / "provenance.json", record)
        runs.append(root)
    return runs


@pytest.fixture(scope="module")
def comparison(run: Path, compare_tables: Callable[..., None]) -> Path:
    folds = [run / f"fold-{fold}" for fold in range(FOLDS)]
    predictions = [fold / "classification" / "made_up" for fold in folds]
    features = [run / "features" / "gabor" / "00.parquet"]
    output = run / "comparison"
    compare_tables(
        cohort=run / "cohort",
        images=[run / "images" / "00"],
        segmentation=[],
        features=features,
        predictions=predictions,
        output=output,
        folds=folds,
        class_predictions=[fold / "classification" / "two" / "class_predictions.parquet" for fold in folds],
    )
    return output


def test_each_patient_is_on_the_test_side_of_one_fold(run: Path) -> None:
    folds = pd.read_parquet(run / "cohort" / "folds.parquet")
    assert folds[folds["split"] == "test"].groupby("patient_id").size().eq(1).all()
    assert set(folds.groupby("fold")["split"].unique().map(sorted).map(tuple)) == {("test", "train", "validation")}
    lesions = pd.read_parquet(run / "cohort" / "lesions.parquet")
    assert set(lesions["split"]) == {"test"}
    test = folds[folds["split"] == "test"].set_index("patient_id")["fold"]
    assert (lesions["patient_id"].map(test) == lesions["fold"]).all()


def test_the_tables_of_a_fold_are_those_of_its_own_run(run: Path, single_runs: list[Path]) -> None:
    for fold, single in enumerate(single_runs):
        for name in ("cohort/images", "cohort/lesions", "cohort/excluded", "images/00/images", "images/00/lesions"):
            of_fold, alone = (pd.read_parquet(root / f"{name}.parquet") for root in (run / f"fold-{fold}", single))
            files = [column for column in alone.columns if column.endswith("_file")]
            pd.testing.assert_frame_equal(of_fold.drop(columns=files), alone.drop(columns=files))
        counts = [
            json.loads((root / "cohort" / "study.json").read_text())["counts"]
            for root in (run / f"fold-{fold}", single)
        ]
        assert counts[0] == counts[1]


def test_the_tables_of_a_fold_point_to_the_images_of_the_run(run: Path) -> None:
    folder = run / "fold-1" / "images" / "00"
    images, lesions = (pd.read_parquet(folder / f"{name}.parquet") for name in ("images", "lesions"))
    row = images.iloc[0]
    assert read_image(folder / row["image_file"]).shape == (row["height"], row["width"])
    for table in (images, lesions):
        for column in (name for name in table.columns if name.endswith("_file")):
            assert all((folder / file).is_file() for file in table[column].dropna())
    assert sorted(path.name for path in folder.iterdir()) == ["excluded.parquet", "images.parquet", "lesions.parquet"]


def test_the_comparison_is_that_of_the_pooled_runs(comparison: Path, single_runs: list[Path], tmp_path: Path) -> None:
    pool_folds(SETTINGS, single_runs, tmp_path)
    for name in ("comparison", "comparison_by_fold", "confusion", "subgroups"):
        one, pooled = (pd.read_csv(folder / f"{name}.csv") for folder in (comparison, tmp_path))
        pd.testing.assert_frame_equal(one[pooled.columns], pooled)
    table = pd.read_csv(comparison / "comparison.csv", index_col="model")
    assert table.loc["made_up", ["n", "n_malignant", "patients"]].tolist() == [16, 8, 16]
    assert table["note"].str.contains("pooled over 2 folds").all()
    validation = pd.read_csv(comparison / "comparison_validation.csv")
    assert set(validation["fold"]) == {0, 1}
    assert set(validation["split"]) == {"validation"}
    assert np.isfinite(pd.read_csv(comparison / "features.csv")["auc"]).any()


def test_a_fold_that_does_not_exist_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"has no fold 7; expected one of 0, 1"):
        write_fold(7, run / "cohort", [run / "images" / "00"], tmp_path / "fold-7")
    assert not (tmp_path / "fold-7").exists()


def test_weights_that_each_fold_trains_are_all_recorded(run: Path, comparison: Path) -> None:
    whole = read_run(run / "cohort", [run / "images" / "00"], [], [], [])
    folds = [
        Fold(
            number,
            run,
            replace(whole, weights={"shared": {"sha256": "a"}, "trained": {"sha256": str(number)}}),
            whole.lesions,
            [],
        )
        for number in range(FOLDS)
    ]
    assert pooled_run(whole, folds).weights == {
        "shared": {"sha256": "a"},
        "trained": {"sha256": "0"},
        "trained, fold 1": {"sha256": "1"},
    }


def test_each_image_has_the_class_of_the_fold_that_held_it_out(run: Path, comparison: Path) -> None:
    table = pd.read_csv(comparison / "classes.csv", keep_default_na=False, na_values=[""])
    everything = table[table["class"].isna()].set_index("model")
    images = pd.read_parquet(run / "images" / "00" / "images.parquet")
    assert (everything["n"] == len(images)).all()
    assert everything["note"].str.contains("pooled over 2 folds").all()
    right = []
    for fold in range(FOLDS):
        file = run / f"fold-{fold}" / "classification" / "two" / "class_predictions.parquet"
        rows = pd.read_parquet(file)
        rows = rows[rows["split"] == "test"]
        called = rows.loc[rows.groupby("image_id")["probability"].idxmax()]
        right += (called["predicted_class"] == called["image_class"]).tolist()
    assert everything.loc["two", "accuracy"] == pytest.approx(sum(right) / len(images), abs=1e-5)
