"""The runs of two folds as one: who scores whom, what the pooled figures are, and which runs do not belong together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.config.feature_models import FeatureModelSettings
from mammoflow.errors import StudyError
from mammoflow.evaluation.fold_runs import INPUTS, pool_folds, stability_tables
from mammoflow.evaluation.inputs import read_run
from mammoflow.evaluation.provenance_record import provenance, recorded_inputs
from mammoflow.evaluation.stage import write_record

from .test_chosen_features import stability_file

SETTINGS = ComparisonSettings(bootstrap=100, fusion=["perceptron_frozen"])


def make_fold(run: Any, fold: int) -> Path:
    """Turn a made-up run into that of one fold: patients of even numbers are fold 0, the others fold 1."""
    for path in [*run.root.rglob("lesions.parquet"), *run.root.rglob("images.parquet"), *run.predictions]:
        table = pd.read_parquet(path)
        number = table["patient_id"].str[1:].astype(int)
        rest = np.where(number % 6 < 2, "validation", "train")
        table["split"] = np.where(number % 2 == fold, "test", rest)
        if "probability" not in table.columns:
            table["fold"] = number % 2
        table.to_parquet(path)
    path = run.cohort / "study.json"
    study = json.loads(path.read_text()) | {"split": {"method": "kfold", "folds": 2, "fold": fold, "leaking": False}}
    path.write_text(json.dumps(study))
    record = provenance(SETTINGS, read_run(**run.inputs()), recorded_inputs(**run.inputs(), prompts=[]))
    write_record(run.root / "comparison" / "provenance.json", record)
    return run.root


@pytest.fixture(scope="module")
def folds(write_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs over the same 12 patients, whose models were drawn with other seeds and have seen test patients."""
    root = tmp_path_factory.mktemp("folds")
    runs = [make_fold(write_run(root / str(fold), patients=12), fold) for fold in range(2)]
    for path in runs[1].rglob("predictions.parquet"):
        table = pd.read_parquet(path)
        table.assign(probability=1 - table["probability"]).to_parquet(path)
    for run, seen in zip(runs, (["P000", "P001"], ["P001", "P003"]), strict=True):
        for path in run.glob("segmentation/small/*/scores.parquet"):
            table = pd.read_parquet(path)
            table["seen"] = table["patient_id"].isin(seen) & (table["model"] == "small")
            table.to_parquet(path)
    return runs


@pytest.fixture(scope="module")
def pooled(folds: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the two runs give together."""
    output = tmp_path_factory.mktemp("pooled")
    pool_folds(SETTINGS, folds, output)
    return output


def test_patients_that_a_model_has_seen_count_in_the_run_that_tests_them(pooled: Path) -> None:
    # P000 is test in fold 0, P001 and P003 in fold 1; that fold 0's model saw P001 in training spoils nothing.
    note = "masks or weights are of small, which was trained on 3 of 12 test patients"
    for name in ("comparison", "confusion"):
        table = pd.read_csv(pooled / f"{name}.csv").set_index("model")
        for model in ("Gabor features", "perceptron_frozen"):
            rows = table.loc[[model]]
            assert (rows["seen_test_patients"] == 3).all(), name
            assert rows["note"].str.contains(note, regex=False).all(), name
        assert table.loc[["BI-RADS > 3", "size alone"], "seen_test_patients"].isna().all()
    by_fold = pd.read_csv(pooled / "comparison_by_fold.csv").set_index(["model", "fold"])
    assert by_fold.loc["Gabor features", "seen_test_patients"].tolist() == [1, 2]


def test_each_patient_is_scored_by_the_run_that_held_it_out(folds, pooled):
    parts = [pd.read_parquet(run / "classification" / "perceptron_frozen" / "predictions.parquet") for run in folds]
    held_out = pd.concat([part[part["split"] == "test"] for part in parts])
    assert held_out["patient_id"].nunique() == 12
    expected = np.mean(
        [roc_auc_score(rows["malignant"].astype(int), rows["probability"]) for _, rows in held_out.groupby("seed")]
    )
    table = pd.read_csv(pooled / "comparison.csv", index_col="model")
    assert table.loc["perceptron_frozen", "auc"] == pytest.approx(expected, abs=1e-5)
    assert table.loc["perceptron_frozen", ["n", "patients", "seeds"]].tolist() == [24, 12, 3]
    assert table.loc["BI-RADS > 3", "n"] == 24
    assert {"majority class", "Gabor features", "size alone"} <= set(table.index)
    for name in ("comparison", "confusion", "subgroups"):
        notes = pd.read_csv(pooled / f"{name}.csv")["note"]
        assert notes.str.contains("phantom; pooled over 2 folds").all()
    written = pd.read_parquet(pooled / "predictions.parquet")
    assert (written["split"] == "test").all()
    assert not written.duplicated(["lesion_id", "model", "seed"]).any()
    by_fold = pd.read_csv(pooled / "comparison_by_fold.csv")
    assert by_fold[by_fold["model"] == "BI-RADS > 3"].set_index("fold")["n"].to_dict() == {0: 12, 1: 12}
    assert json.loads((pooled / "pooled.json").read_text())["folds"] == [0, 1]


def test_the_order_of_the_runs_changes_nothing(folds, pooled, tmp_path):
    pool_folds(SETTINGS, folds[::-1], tmp_path)
    first, second = (pd.read_csv(folder / "comparison.csv", index_col="model") for folder in (pooled, tmp_path))
    metrics = ["n", "auc", "accuracy", "recall", "auc_difference"]
    pd.testing.assert_frame_equal(first[metrics], second[metrics])


def test_runs_that_do_not_belong_together_are_one_clear_error(folds, tmp_path):
    with pytest.raises(StudyError, match=r"folds \[0\]; expected each of \[0, 1\] once"):
        pool_folds(SETTINGS, folds[:1], tmp_path / "pooled")
    with pytest.raises(StudyError, match=r"no comparison/provenance\.json"):
        pool_folds(SETTINGS, [folds[0], tmp_path], tmp_path / "pooled")
    study = json.loads((folds[1] / "cohort" / "study.json").read_text())
    with pytest.MonkeyPatch.context() as patch:
        for key, value, message in (
            ("split", {"method": "random"}, "has the split 'random'"),
            ("split", study["split"] | {"fold": 0}, r"folds \[0, 0\]"),
        ):
            changed = study | {key: value}
            patch.setattr(
                "mammoflow.evaluation.inputs.read_json",
                lambda path, changed=changed: (
                    changed if path == folds[1] / "cohort" / "study.json" else json.loads(path.read_text())
                ),
            )
            with pytest.raises(StudyError, match=message):
                pool_folds(SETTINGS, folds, tmp_path / "pooled")
    path = folds[1] / "cohort" / "images.parquet"
    table, content = pd.read_parquet(path), path.read_bytes()
    table.assign(fold=0).to_parquet(path)
    with pytest.raises(StudyError, match="puts patients into other folds"):
        pool_folds(SETTINGS, folds, tmp_path / "pooled")
    path.write_bytes(content)
    path = folds[1] / "comparison" / "provenance.json"
    content = path.read_text()
    record = json.loads(content)
    record["inputs"]["predictions"].remove("classification/perceptron_frozen/predictions.parquet")
    path.write_text(json.dumps(record))
    with pytest.raises(StudyError, match=r"differ in the models or seeds of perceptron_frozen"):
        pool_folds(SETTINGS, folds, tmp_path / "pooled")
    path.write_text("{}")
    with pytest.raises(StudyError, match=r"does not list the inputs images, .*run the comparison again"):
        pool_folds(SETTINGS, folds, tmp_path / "pooled")
    path.write_text(content)
    assert not (tmp_path / "pooled").exists()


def test_a_run_that_makes_every_fold_is_not_pooled_again(tmp_path):
    run = tmp_path / "all"
    write_record(run / "comparison" / "provenance.json", {"inputs": {kind: [] for kind in INPUTS}})
    write_record(run / "cohort" / "study.json", {"split": {"method": "kfold", "folds": 2, "fold": "all"}})
    with pytest.raises(StudyError, match="this run makes every fold; its comparison is pooled already"):
        pool_folds(SETTINGS, [run], tmp_path / "pooled")


STABLE = FeatureModelSettings(name="Stable", families=["gabor"], stability_above=0.5)


def test_a_run_without_its_table_of_stability_is_not_pooled(folds, tmp_path):
    settings = SETTINGS.model_copy(update={"feature_models": [STABLE]})
    with pytest.raises(StudyError, match=r"0/stability/stability\.csv does not exist; run the target"):
        pool_folds(settings, folds, tmp_path)


def test_each_run_chooses_stable_features_by_its_own_table(folds, tmp_path):
    runs = [Path(shutil.copytree(run, tmp_path / run.name)) for run in folds]
    settings = SETTINGS.model_copy(update={"fusion": False, "feature_models": [STABLE]})
    features = pd.read_parquet(next((runs[0] / "features" / "gabor").iterdir())).filter(like="gabor_").columns
    for run, icc in zip(runs, (0.9, 0.1), strict=True):
        (run / "stability").mkdir()
        values = dict.fromkeys((name.removeprefix("gabor_") for name in features), (icc, icc, icc))
        stability_file(run / "stability" / "stability.csv", **values)
    pool_folds(settings, runs, tmp_path / "pooled")
    by_fold = pd.read_csv(tmp_path / "pooled" / "comparison_by_fold.csv").set_index(["model", "fold"])
    assert by_fold.loc["Stable", "n"].to_dict() == {0: 12, 1: 0}


@pytest.mark.parametrize(
    ("recorded", "is_own"),
    [
        (["results/fold-0/stability/stability.csv", "results/fold-1/stability/stability.csv"], True),
        (["results/a/stability/stability.csv", "results/b/stability/stability.csv"], True),
        (["results/fold-0/stability/stability.csv"] * 2, True),
        (["", ""], True),
        (["results/other/stability/stability.csv"] * 2, False),
        (["stability.csv"] * 2, False),
    ],
)
def test_a_table_of_stability_outside_the_runs_is_shared(tmp_path: Path, recorded: list[str], is_own: bool) -> None:
    runs = [tmp_path / "fold-0", tmp_path / "fold-1"]
    for run, table in zip(runs, recorded, strict=True):
        write_record(run / "comparison" / "provenance.json", {"comparison": {"stability_table": table}})
    settings = ComparisonSettings(feature_models=[STABLE], stability_table=recorded[0])
    own = [str(run / "stability" / "stability.csv") for run in runs]
    assert stability_tables(settings, runs) == (own if is_own else recorded)


def test_what_an_earlier_configuration_left_is_not_pooled(folds, pooled, tmp_path):
    runs = [Path(shutil.copytree(run, tmp_path / str(fold))) for fold, run in enumerate(folds)]
    for run in runs:  # shards of a larger number, a model and a feature family that are no longer configured
        for kind in ("images", "features/gabor", "segmentation/small"):
            for left in (run / kind).iterdir():
                stale = left.with_name(left.name.replace("0", "1", 1))
                shutil.copytree(left, stale) if left.is_dir() else shutil.copy2(left, stale)
        for kind, current, former in (
            ("classification", "perceptron_frozen", "perceptron_former"),
            ("features", "gabor", "former"),
            ("segmentation", "small", "former"),
        ):
            shutil.copytree(run / kind / current, run / kind / former)
    pool_folds(SETTINGS, runs, tmp_path / "pooled")
    for path in pooled.iterdir():
        if path.suffix == ".csv":
            assert (tmp_path / "pooled" / path.name).read_bytes() == path.read_bytes(), path.name
