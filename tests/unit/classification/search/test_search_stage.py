"""The search stage: its table, its overlay, what it resumes, and that no other patient plays a part."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import yaml

from mammoflow.classification.results import area_under_curve
from mammoflow.classification.search import stage
from mammoflow.classification.search.stage import search_classifier
from mammoflow.config.base import validate_settings
from mammoflow.config.classification import ClassifierSettings
from mammoflow.config.search_job import SearchJob
from mammoflow.config.study import StudyConfig
from mammoflow.errors import StudyError
from mammoflow.evaluation.search_figure import draw_trials

PERCEPTRON = {
    "input": "prompted", "network": "perceptron", "epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "device": "cpu",
}  # fmt: skip
SPACE = {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}, "hidden": [[], [4]]}

pytestmark = pytest.mark.usefixtures("fake_model")


def job_of(classifier: dict[str, Any] = PERCEPTRON, **changes: Any) -> SearchJob:
    search = {"classifier": "mine", "space": SPACE, "trials": 4, "inner_folds": 2, "epochs": 1, **changes}
    return validate_settings(SearchJob, {"search": search, "classifier": classifier, "device": "cpu"}, "test")


def search(study: Any, job: SearchJob, name: str = "rates") -> Path:
    output: Path = study.root / "search" / name
    search_classifier(job, name, study.files(), output, 1)
    return output


def trials_of(output: Path) -> pd.DataFrame:
    return pd.read_csv(output / "trials.csv").drop(columns="seconds")


def record_of(output: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((output / "search.json").read_text(encoding="utf-8"))
    return record


def stop_after(monkeypatch: pytest.MonkeyPatch, trainings: int) -> list[str]:
    """Let a search die after some trainings; return the labels of the trainings that were begun."""
    begun: list[str] = []
    run = stage.Training.run

    def counted(self: Any, seed: int, state: Path) -> Any:
        if len(begun) == trainings:
            raise RuntimeError("killed")
        begun.append(self.name)
        return run(self, seed, state)

    monkeypatch.setattr(stage.Training, "run", counted)
    return begun


@pytest.fixture(scope="module")
def whole(written_study: Any, tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of four trials that nothing stops."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mammoflow.segmentation.loading.load_promptable", lambda *_, **__: tiny.FakeModel())
        return search(written_study.copy(tmp_path_factory.mktemp("search") / "tiny"), job_of())


def test_table_record_overlay_and_figure(study: Any, whole: Path, tmp_path: Path) -> None:
    output = Path(shutil.copytree(whole, tmp_path / "whole"))
    table, record = trials_of(output), record_of(output)
    assert table["number"].tolist() == [0, 1, 2, 3]
    assert set(table["state"]) == {"complete"}
    assert list(table.columns[:3]) == ["number", "state", "value"]
    assert list(table.columns[-2:]) == ["learning_rate", "hidden"]
    for number, aucs in record["values_of_folds"].items():
        row = table.set_index("number").loc[int(number)]
        assert row["value"] == pytest.approx(sum(aucs) / 2)
        assert row["standard_deviation"] == pytest.approx(pd.Series(aucs).std())
    best = table.loc[table["value"].idxmax()]
    assert record["best"]["number"] == best["number"]
    train = study.lesions[study.lesions["split"] == "train"]
    assert record["patients"] == sorted({f"tiny/{patient}" for patient in train["patient_id"]})
    text = (output / "best.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)["classification"]["classifiers"]["mine"]
    assert values == {"learning_rate": best["learning_rate"], "hidden": json.loads(best["hidden"])}
    comment = " ".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("#"))
    assert f"trial {best['number']} of 4" in comment
    assert f"inner folds of the {train['patient_id'].nunique()} training patients" in comment
    draw_trials(output)
    assert (output / "trials.png").stat().st_size > 10_000
    assert {path.name for path in output.iterdir()} == {
        "trials.csv", "best.yaml", "search.json", "trials.png", "trials.svg"
    }  # fmt: skip


def test_the_overlay_changes_the_classifier_of_a_configuration(study: Any) -> None:
    output = search(study, job_of(space={"dropout": [0.1], "input_options.tune": ["none"]}, trials=1))
    overlay = yaml.safe_load((output / "best.yaml").read_text(encoding="utf-8"))
    entry = overlay["classification"]["classifiers"]["mine"]
    assert entry == {"dropout": 0.1, "input_options": {"tune": "none"}}
    config = validate_settings(StudyConfig, {"classification": {"classifiers": {"perceptron_frozen": entry}}}, "test")
    assert config.classification.classifiers["perceptron_frozen"].dropout == 0.1


@pytest.mark.parametrize("trainings", [3, 4], ids=["inside a trial", "between trials"])
def test_a_killed_search_ends_in_the_same_table(
    study: Any, whole: Path, monkeypatch: pytest.MonkeyPatch, trainings: int
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, trainings)
        with pytest.raises(RuntimeError, match="killed"):
            search(study, job_of())
    with monkeypatch.context() as patch:
        begun = stop_after(patch, 99)
        output = search(study, job_of())
    pd.testing.assert_frame_equal(trials_of(output), trials_of(whole), check_exact=True)
    assert begun[0] == f"rates, trial {trainings // 2}, inner fold 0"
    assert record_of(output)["trials_before"] == trainings // 2


def test_more_trials_continue_and_another_space_begins_anew(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = trials_of(search(study, job_of(trials=2)))
    begun = stop_after(monkeypatch, 99)
    more = trials_of(search(study, job_of(trials=3)))
    assert len(begun) == 2
    pd.testing.assert_frame_equal(more.iloc[:2], first, check_exact=True)
    fewer = trials_of(search(study, job_of(trials=1)))
    pd.testing.assert_frame_equal(fewer, first.iloc[:1], check_exact=True)
    assert len(begun) == 2
    search(study, job_of(trials=1, space={**SPACE, "dropout": [0.1, 0.2]}))
    assert len(begun) == 4
    lesions = study.lesions[study.lesions["split"] == "train"]
    left_out = lesions["patient_id"].iloc[-1]
    study.rewrite_lesions(lambda table: table[table["patient_id"] != left_out])
    search(study, job_of(trials=1, space={**SPACE, "dropout": [0.1, 0.2]}))
    assert len(begun) == 6


def join_patients(table: pd.DataFrame) -> pd.DataFrame:
    train = sorted(table.loc[table["split"] == "train", "patient_id"].unique())
    return table.replace({"patient_id": {train[0]: train[1]}})


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.assign(density=4),
        lambda table: table.assign(view="MLO"),
        lambda table: table.assign(lesion_type="calcification"),
        lambda table: table.assign(source="other"),
        join_patients,
    ],
    ids=["density", "view", "lesion type", "source", "patients"],
)
def test_other_values_in_the_case_table_begin_anew(
    study: Any, monkeypatch: pytest.MonkeyPatch, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    monkeypatch.setattr(stage._Objective, "train", lambda *_: (0.5, 0.0))
    assert record_of(search(study, job_of(trials=2)))["trials_before"] == 0
    assert record_of(search(study, job_of(trials=2)))["trials_before"] == 2
    study.rewrite_lesions(change)
    assert record_of(search(study, job_of(trials=2)))["trials_before"] == 0


def test_other_labels_of_images_begin_anew(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage._Objective, "train", lambda *_: (0.5, 0.0))
    job = job_of({**PERCEPTRON, "input": "whole_image_embedding"}, trials=2)
    search(study, job)
    assert record_of(search(study, job))["trials_before"] == 2
    benign = study.lesions.loc[study.lesions["malignant"] == 0, "image_id"].iloc[:4]
    study.rewrite_images(lambda table: table.assign(fully_annotated=~table["image_id"].isin(benign)))
    assert record_of(search(study, job))["trials_before"] == 0


def test_no_patient_of_validation_or_test_plays_a_part(
    study: Any, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = trials_of(whole)
    shutil.copytree(whole.parent, study.root / "search")

    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        other = table["split"] != "train"
        table.loc[other, "malignant"] = 1 - table.loc[other, "malignant"]
        return table[~(table["split"] == "validation")]

    study.rewrite_lesions(spoil)
    begun = stop_after(monkeypatch, 99)
    pd.testing.assert_frame_equal(trials_of(search(study, job_of())), before, check_exact=True)
    assert begun == []  # the trials are the same ones
    pd.testing.assert_frame_equal(trials_of(search(study, job_of(), "again")), before, check_exact=True)
    assert len(begun) == 8


def test_labels_of_training_patients_do_play_a_part(study: Any) -> None:
    before = trials_of(search(study, job_of(trials=1)))

    def flip(table: pd.DataFrame) -> pd.DataFrame:
        first = table["patient_id"].isin(["P000", "P001"])
        table.loc[first, "malignant"] = 1 - table.loc[first, "malignant"]
        return table

    study.rewrite_lesions(flip)
    assert not trials_of(search(study, job_of(trials=1))).equals(before)


def test_a_trial_that_diverges_is_a_row(study: Any) -> None:
    job = job_of(space={"learning_rate": [1e-3, 1e30]}, sampler="grid", epochs=3)
    table = trials_of(search(study, job))
    assert table["state"].tolist() == ["complete", "failed"]
    assert pd.isna(table["value"][1])
    assert "not finite" in table["reason"][1] or "not a number" in table["reason"][1]
    assert table["folds"].tolist() == [2, 0]


def test_a_search_without_a_complete_trial_is_an_error(study: Any) -> None:
    with pytest.raises(StudyError, match=r"none of 1 trials is complete.*Change the space"):
        search(study, job_of(space={"learning_rate": [1e30]}, sampler="grid", epochs=3))
    assert (study.root / "search" / "rates" / "trials.csv").is_file()


def test_a_trial_below_the_median_ends_early(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of made-up AUCs the sixth trial's first one is below those of the five before it."""
    made_up = iter([0.9, 0.8] * 5 + [0.1])
    monkeypatch.setattr(stage, "area_under_curve", lambda *_: next(made_up))
    table = trials_of(search(study, job_of(trials=6, pruner="median", space={"dropout": {"low": 0.0, "high": 0.9}})))
    assert table["state"].tolist() == ["complete"] * 5 + ["pruned"]
    assert (table["value"][5], table["folds"][5]) == (0.1, 1)


def test_the_value_is_the_auc_of_the_house_trainer(study: Any) -> None:
    """A trial's training is that of `classify` on the same sides: the same seed gives the same AUC."""
    from mammoflow.classification.cases import read_cases
    from mammoflow.classification.search.inner_folds import InnerFolds, training_cases
    from mammoflow.classification.stage import train_classifier

    job = job_of(space={"dropout": [0.3]}, trials=1)
    value = record_of(search(study, job))["best"]["values_of_folds"][1]
    folds = InnerFolds.draw(training_cases(read_cases(study.images)), 2, 0)
    held_out = [patient for patient, fold in folds.fold_of.items() if fold == 1]

    def divide(table: pd.DataFrame) -> pd.DataFrame:
        table = table[table["split"] == "train"].copy()
        table.loc[table["patient_id"].isin(held_out), "split"] = "validation"
        return table

    study.rewrite_lesions(divide)
    study.rewrite_images(divide)
    settings = validate_settings(ClassifierSettings, {**PERCEPTRON, "epochs": 1, "dropout": 0.3}, "test")
    train_classifier(settings, "mine", study.files(), study.root / "classification" / "mine", 1)
    table = pd.read_parquet(study.root / "classification" / "mine" / "predictions.parquet")
    table = table[table["split"] == "validation"]
    assert value == pytest.approx(
        area_under_curve(table["malignant"].to_numpy(float), table["probability"].to_numpy(float))
    )
