"""The search of a segmentation model: its table, its overlay, what it resumes, and on whom it trains."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from mammoflow.config.base import validate_settings
from mammoflow.config.model_search import ModelSearchJob
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError, StudyError
from mammoflow.evaluation.search_figure import draw_trials
from mammoflow.segmentation.automatic.learner import AutomaticLearner
from mammoflow.segmentation.search import stage
from mammoflow.segmentation.search.inner_folds import InnerShards
from mammoflow.segmentation.search.stage import search_segmenter
from mammoflow.segmentation.training_stage import train_segmenter
from mammoflow.weights.registry import ModelSpec

from ..automatic.tiny_images import study, write_shard

UNET = {
    "recipe": "automatic",
    "options": {"side_px": 32, "epochs": 2, "batch_size": 4, "augmentation": "flips", "device": "cpu"},
}
TUNED = {"recipe": "tune", "options": {"epochs": 1, "patience": None, "batch_size": 4, "device": "cpu"}}
SPACE = {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}, "loss": ["dice_bce", "tversky"]}
MARGIN = 10.0
"""Millimetres; the box is then about as large as an image, so that no mask is perfect before tuning."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve patients, eight of them in train, as one shard."""
    return write_shard(tmp_path_factory.mktemp("images") / "00", study(12))


def job_of(training: dict[str, Any] = UNET, **search: Any) -> ModelSearchJob:
    values = {"model": "mine", "space": SPACE, "trials": 2, "inner_folds": 2, **search}
    return validate_settings(ModelSearchJob, {"search": values, "training": training, "device": "cpu"}, "test")


def search(job: ModelSearchJob, images: Path, output: Path) -> Path:
    start = ModelSpec("small", "small") if job.training.recipe == "tune" else None
    architecture = "small" if start else "unet_16"
    search_segmenter(job, output.name, architecture, start, [images], output.parent / "store", MARGIN, output, 1)
    return output


def trials_of(output: Path) -> pd.DataFrame:
    return pd.read_csv(output / "trials.csv").drop(columns="seconds")


def record_of(output: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((output / "search.json").read_text(encoding="utf-8"))
    return record


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], list[str]]]:
    """The patients on both sides of each training."""
    found: list[tuple[list[str], list[str]]] = []
    fit = stage.fit

    def noted(learner: Any, *arguments: Any) -> Any:
        found.append((learner.images.patients("train"), learner.images.patients("validation")))
        return fit(learner, *arguments)

    monkeypatch.setattr(stage, "fit", noted)
    return found


@pytest.fixture(scope="module")
def whole(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that nothing stops."""
    return search(job_of(), images, tmp_path_factory.mktemp("search") / "rates")


def test_table_record_overlay_and_figure(whole: Path, tmp_path: Path) -> None:
    table, record = trials_of(whole), record_of(whole)
    assert table["number"].tolist() == [0, 1]
    assert set(table["state"]) == {"complete"}
    assert table["value"].between(0, 1).all()
    assert table["value"].nunique() > 1
    for number, figures in record["values_of_folds"].items():
        assert table.set_index("number").loc[int(number), "value"] == pytest.approx(sum(figures) / 2)
    best = table.loc[table["value"].idxmax()]
    assert (record["best"]["number"], record["best"]["value"]) == (best["number"], best["value"])
    assert record["patients"] == [f"discs/P{number}" for number in (0, 1, 11, 2, 5, 6, 7, 8)]
    assert [count["patients"] for count in record["folds"]] == [4, 4]
    text = (whole / "best.yaml").read_text(encoding="utf-8")
    comment = " ".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("#"))
    assert "mean Dice over 2 inner folds of the 8 training patients is the highest" in comment
    overlay = yaml.safe_load(text)
    assert overlay["segmentation"]["models"]["mine"]["train"]["options"] == {
        "learning_rate": best["learning_rate"], "loss": best["loss"]
    }  # fmt: skip
    overlay["segmentation"]["models"]["mine"] |= {"architecture": "unet_16"}
    overlay["segmentation"]["models"]["mine"]["train"] |= {"recipe": "automatic"}
    options: Any = validate_settings(StudyConfig, overlay, "test").segmentation.models["mine"].train.options  # type: ignore[union-attr]
    assert options.loss == best["loss"]
    drawn = Path(shutil.copytree(whole, tmp_path / "drawn"))
    draw_trials(drawn)
    assert (drawn / "trials.png").stat().st_size > 10_000


def test_no_training_sees_a_patient_on_both_sides_or_of_validation_or_test(
    images: Path, tmp_path: Path, seen: list[tuple[list[str], list[str]]]
) -> None:
    search(job_of(trials=1, epochs=1), images, tmp_path / "rates")
    of_train = {f"discs/P{number}" for number in (0, 1, 2, 5, 6, 7, 8, 11)}
    assert len(seen) == 2
    for trained, validated in seen:
        assert not set(trained) & set(validated)
        assert set(trained) | set(validated) == of_train
    assert set(seen[0][1]) | set(seen[1][1]) == of_train


def test_a_single_split_holds_out_one_inner_fold(
    images: Path, tmp_path: Path, seen: list[tuple[list[str], list[str]]]
) -> None:
    job = job_of(trials=2, epochs=1, inner_folds=4, held_out_folds=1)
    output = search(job, images, tmp_path / "rates")
    assert [len(validated) for _, validated in seen] == [2, 2]
    assert trials_of(output)["folds"].tolist() == [1, 1]
    assert len(record_of(output)["folds"]) == 1
    assert "over 1 of 4 inner folds" in (output / "best.yaml").read_text(encoding="utf-8").replace("\n# ", " ")


def test_a_killed_search_ends_in_the_same_table(
    images: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The eighth epoch is the last one of trial 1: its first training is done, and its second one continues."""
    validate = AutomaticLearner.validate
    epochs: list[int] = []

    def counted(self: AutomaticLearner, epoch: int) -> dict[str, float]:
        epochs.append(epoch)
        if len(epochs) == 8:
            raise RuntimeError("killed")
        return validate(self, epoch)

    monkeypatch.setattr(AutomaticLearner, "validate", counted)
    with pytest.raises(RuntimeError, match="killed"):
        search(job_of(), images, tmp_path / "rates")
    assert not (tmp_path / "rates" / "trials.csv").exists()
    output = search(job_of(), images, tmp_path / "rates")
    pd.testing.assert_frame_equal(trials_of(output), trials_of(whole), check_exact=True)
    assert (output / "best.yaml").read_bytes() == (whole / "best.yaml").read_bytes()
    assert record_of(output)["trials_before"] == 1
    assert epochs[8:] == [1]
    fewer = search(job_of(trials=1), images, tmp_path / "rates")
    pd.testing.assert_frame_equal(trials_of(fewer), trials_of(whole).iloc[:1], check_exact=True)
    assert len(epochs) == 9


@pytest.mark.parametrize("training", [UNET, TUNED], ids=["automatic", "tune"])
def test_the_value_is_the_dice_of_the_house_training(training: dict[str, Any], images: Path, tmp_path: Path) -> None:
    space = {"learning_rate": [3e-3]}
    job = job_of(training, space=space, trials=1, seed=5, epochs=1, held_out_folds=1)
    output = search(job, images, tmp_path / "search" / "rates")
    options = {**training["options"], "learning_rate": 3e-3, "epochs": 1, "seed": 5}
    recipe = job_of({**training, "options": options}).training
    start = ModelSpec("small", "small") if training is TUNED else None
    shards = InnerShards.draw([images], 2, seed=5).write(0, tmp_path / "inner")
    trained = (recipe, "small" if start else "unet_16", start, shards, tmp_path / "search" / "store", MARGIN)
    train_segmenter(*trained, tmp_path / "models" / "mine", 1)
    expected = json.loads((tmp_path / "models" / "mine" / "record.json").read_text(encoding="utf-8"))
    assert record_of(output)["best"]["values_of_folds"] == [expected["validation_dice"]]
    assert set(expected["validation_patients"]) < set(record_of(output)["patients"])
    assert 0 < expected["validation_dice"] < 1


def test_a_trial_that_diverges_is_a_row_and_the_best_one_is_complete(images: Path, tmp_path: Path) -> None:
    job = job_of(space={"learning_rate": [1e30, 1e-3]}, sampler="grid", held_out_folds=1)
    output = search(job, images, tmp_path / "rates")
    table = trials_of(output)
    assert table["state"].tolist() == ["failed", "complete"]
    assert "not finite" in table["reason"][0] or "not a number" in table["reason"][0]
    assert record_of(output)["best"]["number"] == 1


def test_a_training_without_dice_cannot_be_searched(images: Path, tmp_path: Path) -> None:
    job = job_of({"recipe": "masked_autoencoder"}, space={"learning_rate": [1e-3]})
    with pytest.raises(ConfigError, match="recipe masked_autoencoder, which computes no Dice"):
        search(job, images, tmp_path / "rates")


def test_a_search_without_a_complete_trial_is_an_error_with_the_reason_of_the_first(
    images: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(images, tmp_path / "images" / "00"))
    for file in (copy / "mask").iterdir():
        file.unlink()
    with pytest.raises(StudyError, match=r"none of 1 trials is complete, the first one because .*mask/P\d+_a_0\.png"):
        search(job_of(trials=1, epochs=1), copy, tmp_path / "rates")
