"""A real run on a tiny study: what `cohort.unlabelled: keep` changes, and the columns of the made-up run's tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny_run import CLASSES, LABELLED, TinyRun, write_study, write_tiny_run

from mammoflow.config.evaluation import ReportSettings
from mammoflow.config.split_names import SPLITS
from mammoflow.report.stage import write_report
from mammoflow.segmentation.small.windows import load_samples
from mammoflow.segmentation.tuning.lesions import read_lesions
from mammoflow.tables.classes import CLASS_PREDICTIONS
from mammoflow.tables.cohort import IMAGES, LESIONS
from mammoflow.tables.features import FEATURES, feature_columns
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.masks import MASKS
from mammoflow.tables.predictions import PREDICTIONS

IN_BOTH = (
    "comparison",
    "comparison_train",
    "comparison_validation",
    "confusion",
    "subgroups",
    "features",
    "segmentation",
    "segmentation_subgroups",
    "dice_diameter_correlation",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, compare_tables: Callable[..., None]) -> dict[str, TinyRun]:
    folder = tmp_path_factory.mktemp("unlabelled")
    write_study(folder / "study")
    found = {}
    for choice in ("leave_out", "keep"):
        classes = CLASSES if choice == "keep" else ()
        found[choice] = write_tiny_run(folder / "study", folder / choice, choice, classes)
        compare_tables(output=folder / choice / "comparison", **found[choice].inputs())
    return found


TABLES = (
    "cohort/images.parquet",
    "cohort/lesions.parquet",
    "cohort/excluded.parquet",
    "images/00/images.parquet",
    "images/00/lesions.parquet",
    "images/00/excluded.parquet",
    "prompts/00.parquet",
    "segmentation/small/00/scores.parquet",
    "segmentation/small/00/masks.parquet",
    "classification/perceptron_frozen/predictions.parquet",
)


@pytest.mark.parametrize("table", TABLES)
def test_the_made_up_run_has_the_columns_of_a_real_one(runs: dict[str, TinyRun], run: Any, table: str) -> None:
    real, made_up = (pd.read_parquet(root / table) for root in (runs["leave_out"].root, run.root))
    assert set(made_up.columns) == set(real.columns)
    shared = [name for name in real.columns if not (real[name].isna().all() or made_up[name].isna().all())]
    assert made_up[shared].dtypes.to_dict() == real[shared].dtypes.to_dict()


def test_the_made_up_features_have_the_columns_of_real_ones(runs: dict[str, TinyRun], run: Any) -> None:
    real, made_up = (
        pd.read_parquet(path) for path in (runs["leave_out"].features, run.root / "features/gabor/00.parquet")
    )
    described = set(made_up.columns) - set(feature_columns(made_up, "gabor"))
    assert described <= set(real.columns)
    assert set(FEATURES.columns) == described
    assert set(made_up["mask_model"]) == set(real["mask_model"]) == {"small"}


def without_label(path: Path, lesions: pd.DataFrame) -> pd.DataFrame:
    names = set(lesions.loc[lesions["malignant"].isna(), "lesion_id"])
    return pd.read_parquet(path)[lambda table: table["lesion_id"].isin(names)]


def test_what_has_no_label_stays_in_the_cohort_and_moves_nobody(runs: dict[str, TinyRun]) -> None:
    kept, left = (read_table(runs[name].cohort / "lesions.parquet", LESIONS) for name in ("keep", "leave_out"))
    assert len(left) == LABELLED
    assert kept["malignant"].isna().sum() == 3
    labelled = kept[kept["malignant"].notna()].reset_index(drop=True)
    pd.testing.assert_frame_equal(labelled, left, check_like=True)
    images = read_table(runs["keep"].cohort / "images.parquet", IMAGES).set_index("patient_id")
    assert len(images) == LABELLED + 5
    assert images["labelled"].tolist() == [True] * LABELLED + [False] * 3 + [True, False]
    assert images["fully_annotated"].tolist() == [True] * (LABELLED + 4) + [False]
    assert len(read_table(runs["leave_out"].cohort / "images.parquet", IMAGES)) == LABELLED + 1


def test_images_without_a_lesion_reach_the_canonical_images(runs: dict[str, TinyRun]) -> None:
    images = read_table(runs["keep"].images / "images.parquet", CANONICAL_IMAGES)
    lesions = read_table(runs["keep"].images / "lesions.parquet", CANONICAL_LESIONS)
    empty = images[~images["image_id"].isin(lesions["image_id"])].set_index("patient_id")
    assert empty[["labelled", "fully_annotated"]].to_dict("index") == {
        "P19": {"labelled": True, "fully_annotated": True},
        "P20": {"labelled": False, "fully_annotated": False},
    }


def test_lesions_without_a_label_are_segmented_measured_and_predicted(runs: dict[str, TinyRun]) -> None:
    run = runs["keep"]
    lesions = read_table(run.cohort / "lesions.parquet", LESIONS)
    for path, schema in (
        (run.segmentation / "masks.parquet", MASKS),
        (run.features, FEATURES),
        (run.predictions / "predictions.parquet", PREDICTIONS),
    ):
        read_table(path, schema)
        assert len(without_label(path, lesions)) == 3, path
    predictions = without_label(run.predictions / "predictions.parquet", lesions)
    assert predictions["malignant"].isna().all()
    assert predictions[["probability", "predicted"]].notna().all().all()


@pytest.mark.parametrize("table", IN_BOTH)
def test_no_figure_changes(runs: dict[str, TinyRun], table: str) -> None:
    kept, left = (pd.read_csv(runs[name].root / "comparison" / f"{table}.csv") for name in ("keep", "leave_out"))
    pd.testing.assert_frame_equal(kept, left, rtol=1e-5)


def test_the_training_saw_no_lesion_without_a_label(runs: dict[str, TinyRun]) -> None:
    predictions = [
        pd.read_parquet(runs[name].predictions / "predictions.parquet").set_index("lesion_id")
        for name in ("keep", "leave_out")
    ]
    shared = predictions[1].index
    pd.testing.assert_series_equal(
        predictions[0].loc[shared, "probability"], predictions[1]["probability"], rtol=1e-5, check_like=True
    )
    assert predictions[0]["threshold"].unique() == pytest.approx(predictions[1]["threshold"].unique())


def test_segmentation_models_train_on_labelled_lesions_alone(runs: dict[str, TinyRun]) -> None:
    assert len(load_samples([runs["keep"].images], SPLITS).lesions) == LABELLED
    assert read_lesions([runs["keep"].images]).lesions["malignant"].notna().all()


def test_the_flow_counts_them(runs: dict[str, TinyRun]) -> None:
    study = json.loads((runs["keep"].cohort / "study.json").read_text())
    assert study["counts"]["unlabelled"] == 3
    assert [(step["lesions"], step["images"]) for step in study["flow"]] == [
        (LABELLED + 4, LABELLED + 5),
        (LABELLED + 4, LABELLED + 5),
        (LABELLED + 4, LABELLED + 5),
        (LABELLED + 3, LABELLED + 5),
    ]
    steps = json.loads((runs["keep"].root / "comparison" / "flow.json").read_text())["steps"]
    known = next(step for step in steps if step["step"] == "Malignancy known")
    assert known["lesions"] == LABELLED
    assert [(group["reason"], group["count"]) for group in known["excluded"]] == [("malignancy is unknown", 3)]
    excluded = pd.read_csv(runs["keep"].root / "comparison" / "exclusions.csv")
    assert (excluded["stage"] == "labels").sum() == 3


def test_the_page_says_how_many_lesions_have_no_label(runs: dict[str, TinyRun], tmp_path: Path) -> None:
    run = runs["keep"]
    page = tmp_path / "page.html"
    settings = ReportSettings(overlays=0)
    write_report(settings, run.cohort, run.root / "comparison", [run.images], [run.segmentation], page)
    text = page.read_text(encoding="utf-8")
    assert "3 without a label, which no figure uses" in text
    section = text.partition('<section id="classes"')[2].partition("</section>")[0]
    assert "test images of" in section
    assert all(f'<th scope="row">{name}</th>' in section for name in (*CLASSES, "all classes"))


def test_every_image_with_a_class_is_classified_and_compared(runs: dict[str, TinyRun]) -> None:
    run = runs["keep"]
    predictions = read_table(run.class_predictions, CLASS_PREDICTIONS)
    images = predictions.drop_duplicates("image_id")
    assert len(images) == LABELLED + 5
    numbers = images["patient_id"].str[1:].astype(int)
    assert images["image_class"].tolist() == [CLASSES[number % 3] for number in numbers]
    classes = pd.read_csv(run.root / "comparison" / "classes.csv")
    of_model = classes[classes["model"] == "three"].set_index("class", drop=False)
    assert of_model.index.tolist()[1:] == [*CLASSES]
    assert of_model["n_class"].iloc[0] == of_model["n_class"].iloc[1:].sum() == (images["split"] == "test").sum()
    cells = pd.read_csv(run.root / "comparison" / "class_confusion.csv")
    assert cells.groupby("model")["n"].sum().eq((images["split"] == "test").sum()).all()
    assert (run.root / "comparison" / "figures" / "class_confusion.svg").is_file()
    record = json.loads((run.root / "comparison" / "provenance.json").read_text())
    assert record["training"]["three"]["classes"] == [*CLASSES]
    assert not (runs["leave_out"].root / "comparison" / "classes.csv").exists()
