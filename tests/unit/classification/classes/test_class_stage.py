"""A classifier of several classes: from images to probabilities of classes, records and weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from mammoflow.classification.classes import stage as class_stage
from mammoflow.classification.classes.stage import train_class_classifier
from mammoflow.config.base import validate_settings
from mammoflow.config.classification import ClassifierSettings
from mammoflow.errors import StudyError
from mammoflow.storage.files import read_image, write_image
from mammoflow.tables.classes import CLASS_PREDICTIONS, IMAGE_CLASSES
from mammoflow.tables.files import read_table, write_table

pytestmark = pytest.mark.long(6)

NAMES = ("normal", "benign", "malignant")
VALUES = {
    "input": "whole_image", "network": "resnet_small", "network_options": {"width": 8, "blocks": 1},
    "target": "classes", "epochs": 3, "batch_size": 8, "device": "cpu", "input_options": {"image_px": 32},
}  # fmt: skip


@pytest.fixture
def class_study(study: Any) -> Any:
    """A study whose images of every third patient show no lesion; its images have the classes of `NAMES`."""
    rows = []
    malignant = study.lesions.groupby("image_id")["malignant"].max()
    for folder in study.images:
        for image in pd.read_parquet(folder / "images.parquet").to_dict("records"):
            is_normal = int(image["patient_id"][1:]) % 3 == 0
            name = NAMES[0 if is_normal else 1 + int(malignant[image["image_id"]])]
            if name == "normal":
                grey = read_image(folder / image["image_file"])
                write_image(folder / image["image_file"], np.minimum(grey, 13000).astype(np.uint16))
            keys = {"image_id": image["image_id"], "patient_id": image["patient_id"]}
            rows.append({**keys, "image_class": name, "class_number": NAMES.index(name)})
    write_classes(study, pd.DataFrame(rows))
    return study


def write_classes(study: Any, table: pd.DataFrame) -> None:
    write_table(table, IMAGE_CLASSES, study.root / "classes.parquet")


def train(study: Any, name: str = "three", **changes: Any) -> Path:
    settings = validate_settings(ClassifierSettings, {**VALUES, **changes}, "test")
    output = Path(study.root / "classification" / name)
    train_class_classifier(settings, name, replace(study.files(), classes=study.root / "classes.parquet"), output, 1)
    return output


def test_every_image_gets_a_probability_of_every_class_with_every_seed(class_study: Any) -> None:
    table = pd.read_parquet(class_study.root / "classes.parquet")
    table.loc[0, ["image_class", "class_number"]] = None
    write_classes(class_study, table)
    output = train(class_study, seeds=[0, 1], keep="best_auc", test_time_flips="horizontal")
    assert {path.name for path in output.iterdir()} == {
        "class_predictions.parquet", "history.csv", "training.json", "seeds",
    }  # fmt: skip
    assert not (output.parent / ".training").exists()
    found = read_table(output / "class_predictions.parquet", CLASS_PREDICTIONS)
    assert len(found) == len(table) * 2 * 3
    sums = found.groupby(["image_id", "seed"])["probability"].sum()
    assert sums.to_numpy() == pytest.approx(np.ones(len(sums)))
    assert found[found["image_id"] == table["image_id"][0]]["image_class"].isna().all()
    assert dict(zip(found["class_number"], found["predicted_class"], strict=True)) == dict(enumerate(NAMES))
    record = json.loads((output / "training.json").read_text())
    assert record["classes"] == list(NAMES)
    assert sum(split["without a class"] for split in record["n"].values()) == 1
    history = pd.read_csv(output / "history.csv")
    assert set(history["seed"]) == {0, 1}
    assert {"train_loss", "validation_loss", "validation_auc"} <= set(history)
    validation = found[(found["split"] == "validation") & found["image_class"].notna()]
    for seed, of_seed in validation.groupby("seed"):
        wide = of_seed.pivot(index="image_id", columns="class_number", values="probability")
        label = of_seed.drop_duplicates("image_id").set_index("image_id")["image_class"].map(NAMES.index)
        expected = roc_auc_score(label.loc[wide.index], wide.to_numpy(), multi_class="ovr")
        assert record["seeds"][str(seed)]["validation_auc"] == pytest.approx(expected)
    weights = load_file(output / "seeds" / "0" / "model.safetensors")
    assert weights["head.1.weight"].shape[0] == 3


def test_it_learns_what_tells_the_classes_apart(class_study: Any) -> None:
    output = train(class_study, epochs=12, learning_rate=5e-3)
    found = read_table(output / "class_predictions.parquet", CLASS_PREDICTIONS)
    rows = found[found["split"] == "train"]
    called = rows.loc[rows.groupby("image_id")["probability"].idxmax()]
    assert (called["predicted_class"] == called["image_class"]).mean() > 0.6


def test_a_killed_training_ends_with_the_weights_of_an_unbroken_one(
    class_study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(class_study, "whole")
    inner = class_stage.ClassLearner.validate

    def killed(self: Any, epoch: int) -> dict[str, float]:
        if epoch == 2:
            raise KeyboardInterrupt
        return inner(self, epoch)

    monkeypatch.setattr(class_stage.ClassLearner, "validate", killed)
    with pytest.raises(KeyboardInterrupt):
        train(class_study, "resumed")
    monkeypatch.undo()
    resumed = train(class_study, "resumed")
    assert json.loads((resumed / "training.json").read_text())["seeds"]["0"]["resumed_from"] > 0
    one, other = (load_file(folder / "seeds" / "0" / "model.safetensors") for folder in (whole, resumed))
    assert all((one[name] == other[name]).all() for name in one)
    assert (whole / "history.csv").read_bytes() == (resumed / "history.csv").read_bytes()


def test_a_side_without_a_class_is_refused(class_study: Any) -> None:
    table = pd.read_parquet(class_study.root / "classes.parquet")
    images = pd.concat([pd.read_parquet(folder / "images.parquet") for folder in class_study.images])
    side = table["image_id"].map(images.set_index("image_id")["split"])

    def without(split: str, name: str) -> pd.DataFrame:
        gone = (side == split) & (table["image_class"] == name)
        return table.assign(image_class=table["image_class"].mask(gone), class_number=table["class_number"].mask(gone))

    write_classes(class_study, without("train", "benign"))
    with pytest.raises(StudyError, match=r"train has \d normal, 0 benign"):
        train(class_study)
    write_classes(class_study, without("validation", "benign"))
    with pytest.raises(StudyError, match=r"validation has \d normal, 0 benign"):
        train(class_study, keep="best_auc")
    assert (train(class_study, epochs=1) / "training.json").is_file()
    write_classes(class_study, table.iloc[1:])
    with pytest.raises(StudyError, match="1 images are not in"):
        train(class_study)
    write_classes(class_study, table[table["image_class"] == "benign"].assign(class_number=0))
    with pytest.raises(StudyError, match="images are not in"):
        train(class_study)


def test_outputs_of_a_single_validation_image_do_not_count_as_constant(class_study: Any) -> None:
    table = pd.read_parquet(class_study.root / "classes.parquet")
    images = pd.concat([pd.read_parquet(folder / "images.parquet") for folder in class_study.images])
    others = images.loc[images["split"] == "validation", "image_id"].tolist()[1:]
    gone = table["image_id"].isin(others)
    table["image_class"], table["class_number"] = table["image_class"].mask(gone), table["class_number"].mask(gone)
    write_classes(class_study, table)
    record = json.loads((train(class_study) / "training.json").read_text(encoding="utf-8"))
    assert not record["constant"]
