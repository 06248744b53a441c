"""A classifier of a finished run is applied to a study on which nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammoflow.classification.application import TrainedClassifier
from mammoflow.classification.applied import apply_trained
from mammoflow.config.base import validate_settings
from mammoflow.config.classification import ClassifierSettings
from mammoflow.errors import ConfigError, StudyError, WeightsError
from mammoflow.storage.files import read_json
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.predictions import PREDICTIONS

CROP: dict[str, Any] = {
    "input": "context_crop",
    "network": "resnet_small",
    "network_options": {"width": 8, "blocks": 1},
    "epochs": 1,
    "batch_size": 8,
    "device": "cpu",
    "input_options": {"image_px": 32},
    "test_time_flips": "all",
}
MASKED = {**CROP, "input": "masked_crop", "test_time_flips": "none"}
PERCEPTRON = {"input": "prompted", "network": "perceptron", "epochs": 2, "batch_size": 8, "device": "cpu"}


class Pair:
    """A finished run, and another study whose patients are all test."""

    def __init__(self, trained: Any, here: Any, tiny: Any) -> None:
        self.trained, self.here, self.tiny = trained, here, tiny
        for folder in here.images:
            for name, schema in (("images", CANONICAL_IMAGES), ("lesions", CANONICAL_LESIONS)):
                path = folder / f"{name}.parquet"
                write_table(pd.read_parquet(path).assign(split="test"), schema, path)

    def train(self, values: dict[str, Any], name: str = "crop") -> Path:
        folder: Path = self.tiny.train(self.trained, values, name)
        return folder

    def apply(self, values: dict[str, Any], folder: Path, name: str = "crop") -> Path:
        output: Path = self.here.root / "classification" / name
        apply_trained(validate_settings(ClassifierSettings, values, "test"), name, self.here.files(), folder, output, 1)
        return output


@pytest.fixture
def pair(written_study: Any, tiny: Any, tmp_path: Path) -> Pair:
    return Pair(written_study.copy(tmp_path / "other"), written_study.copy(tmp_path / "here"), tiny)


@pytest.fixture(scope="module")
def trained_crop(written_study: Any, tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run with a classifier of crops and two seeds; tests copy it."""
    study = written_study.copy(tmp_path_factory.mktemp("crop") / "other")
    tiny.train(study, {**CROP, "seeds": [0, 1]}, "crop")
    return study


@pytest.fixture
def crops(trained_crop: Any, written_study: Any, tiny: Any, tmp_path: Path) -> Pair:
    return Pair(trained_crop.copy(tmp_path / "other"), written_study.copy(tmp_path / "here"), tiny)


SEEDED = {**CROP, "seeds": [0, 1]}


def crop_of(pair: Pair) -> Path:
    return Path(pair.trained.root) / "classification" / "crop"


@pytest.mark.usefixtures("fake_model")
@pytest.mark.parametrize("values", [MASKED, PERCEPTRON], ids=["masks", "embeddings"])
def test_probabilities_are_those_of_the_run_whatever_the_split(pair: Pair, values: dict[str, Any]) -> None:
    folder = pair.train(values)
    applied = read_table(pair.apply(values, folder) / "predictions.parquet", PREDICTIONS)
    there = read_table(folder / "predictions.parquet", PREDICTIONS)
    both = there.merge(applied, on=["lesion_id", "seed"], suffixes=("", "_here"), validate="one_to_one")
    assert len(both) == len(there) == len(applied)
    np.testing.assert_allclose(both["probability_here"], both["probability"], rtol=0, atol=1e-6)


def test_all_that_later_stages_read_is_there(crops: Pair) -> None:
    folder = crop_of(crops)
    output = crops.apply(SEEDED, folder, "renamed")
    there, here = (read_table(each / "predictions.parquet", PREDICTIONS) for each in (folder, output))
    both = there.merge(here, on=["lesion_id", "seed"], suffixes=("", "_here"), validate="one_to_one")
    np.testing.assert_allclose(both["probability_here"], both["probability"], rtol=0, atol=1e-6)
    for column in ("threshold", "predicted", "malignant"):
        assert (both[f"{column}_here"] == both[column]).all()
    assert set(here["split"]) == {"test"}
    assert set(here["model"]) == {"renamed"}
    for seed in ("0", "1"):
        for file in ("model.safetensors", "record.json"):
            copied = output / "seeds" / seed / file
            assert copied.read_bytes() == (folder / "seeds" / seed / file).read_bytes()
    assert (output / "history.csv").read_bytes() == (folder / "history.csv").read_bytes()
    record = read_json(output / "training.json")
    trained = read_json(folder / "training.json")
    assert record["seeds"] == trained["seeds"]
    assert record["n"]["train"]["lesions"] == 0
    assert record["n"]["test"]["lesions"] == len(here) / 2
    elsewhere = record["trained_elsewhere"]
    assert elsewhere["run"] == "other"
    assert elsewhere["n"] == trained["n"]
    assert set(elsewhere["weights_sha256"]) == {"0", "1"}
    assert elsewhere["patients"] == read_json(folder / "seeds" / "0" / "record.json")["patients"]


def test_patients_that_the_run_was_trained_on_are_counted_by_id_and_by_film(crops: Pair) -> None:
    there = read_table(crop_of(crops) / "predictions.parquet", PREDICTIONS)
    known = sorted(set(there.loc[there["split"] != "test", "patient_id"]))

    def seen() -> dict[str, Any]:
        elsewhere: dict[str, Any] = read_json(crops.apply(SEEDED, crop_of(crops)) / "training.json")[
            "trained_elsewhere"
        ]
        return elsewhere

    found = seen()
    assert found["seen_patients"] == known
    assert found["seen_by_id"] == found["seen_by_film"] == len(known)
    for folder in crops.here.images:  # the same films under other ids
        for name, schema in (("images", CANONICAL_IMAGES), ("lesions", CANONICAL_LESIONS)):
            path = folder / f"{name}.parquet"
            table = pd.read_parquet(path)
            write_table(table.assign(patient_id="other-" + table["patient_id"]), schema, path)
    found = seen()
    assert found["seen_by_id"] == 0
    assert found["seen_patients"] == [f"other-{patient}" for patient in known]
    for file in crops.trained.root.glob("images/*/images.parquet"):
        file.unlink()
    found = seen()
    assert found["seen_patients"] == []
    assert found["seen_by_film"] is None


def test_other_settings_and_damaged_weights_are_refused(crops: Pair) -> None:
    folder = crop_of(crops)
    with pytest.raises(StudyError, match=r"differ from those of its training in test_time_flips"):
        crops.apply({**SEEDED, "test_time_flips": "none"}, folder)
    weights = folder / "seeds" / "1" / "model.safetensors"
    weights.write_bytes((folder / "seeds" / "0" / "model.safetensors").read_bytes())
    with pytest.raises(WeightsError, match="and their record names"):
        crops.apply(SEEDED, folder)
    weights.unlink()
    with pytest.raises(WeightsError, match="do not exist"):
        crops.apply(SEEDED, folder)


def test_a_classifier_that_was_applied_is_not_applied_again(crops: Pair) -> None:
    output = crops.apply(SEEDED, crop_of(crops))
    with pytest.raises(ConfigError, match=r"was applied there and not trained; name the run that trained it, .*other"):
        TrainedClassifier.read(output)


@pytest.mark.usefixtures("fake_model")
def test_another_promptable_model_is_refused(pair: Pair) -> None:
    folder = pair.train(PERCEPTRON)
    record = read_json(folder / "training.json")
    record["promptable_model"]["digest"] = "another"
    (folder / "training.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(WeightsError, match=r"was trained on embeddings of fake .*expected the same weights"):
        pair.apply(PERCEPTRON, folder)


def test_masks_of_other_weights_are_noted(pair: Pair) -> None:
    folder = pair.train(MASKED)
    assert read_json(pair.apply(MASKED, folder) / "training.json")["masks_of_other_weights"] is False
    for origin in pair.here.root.glob("segmentation/*/*/weights.json"):
        origin.write_text(json.dumps({**read_json(origin), "sha256": "another"}), encoding="utf-8")
    assert read_json(pair.apply(MASKED, folder) / "training.json")["masks_of_other_weights"] is True
