"""Classifiers with few labels: which labels are hidden, and what trainers make of the other lesions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mammoflow.classification.batches import Loader
from mammoflow.classification.cases import Cases
from mammoflow.classification.classifier import Classifier
from mammoflow.classification.few_labels import label_counts, with_hidden_labels
from mammoflow.classification.learner import ClassifierLearner
from mammoflow.classification.networks import resnet_small
from mammoflow.classification.pictures import PictureSamples
from mammoflow.classification.stage import train_classifier
from mammoflow.config.base import validate_settings
from mammoflow.config.classification import ClassifierSettings
from mammoflow.config.few_labels import FewLabelsSettings
from mammoflow.config.pictures import PictureOptions
from mammoflow.config.training import TRAINERS
from mammoflow.errors import ConfigError


def cases() -> Cases:
    """Return sixty lesions of thirty patients, every third patient in validation or test."""
    rows = np.arange(60)
    lesions = pd.DataFrame(
        {
            "lesion_id": [f"L{row}" for row in rows],
            "patient_id": [f"P{row // 2}" for row in rows],
            "source": "study",
            "split": np.where(rows // 2 % 3 < 2, "train", np.where(rows < 30, "validation", "test")),
            "malignant": pd.array((rows // 2 % 2).tolist(), dtype="Int64"),
        }
    )
    return Cases(lesions, pd.DataFrame())


def test_only_labels_of_training_patients_that_are_not_drawn_are_hidden() -> None:
    everything = cases()
    hidden = with_hidden_labels(everything, FewLabelsSettings(fraction=0.4))
    training = hidden.lesions[hidden.lesions["split"] == "train"]
    known = training[training["malignant"].notna()]
    assert known["patient_id"].nunique() == 8
    assert known.groupby("patient_id").size().tolist() == [2] * 8
    assert known.groupby("malignant")["patient_id"].nunique().tolist() == [4, 4]
    others = hidden.lesions["split"] != "train"
    pd.testing.assert_frame_equal(hidden.lesions[others], everything.lesions[others])
    pictures, rows = np.zeros((60, 1, 1), np.uint16), np.arange(60)
    split = hidden.lesions["split"].to_numpy(dtype=object)
    samples = PictureSamples(pictures, rows, hidden.labels, split, rows, {}, PictureOptions())
    counts = label_counts(everything, samples)
    assert (counts.labelled_patients, counts.unlabelled_patients) == (8, 12)
    assert everything.lesions["malignant"].notna().all()
    assert with_hidden_labels(everything, FewLabelsSettings()) is everything


def learner() -> ClassifierLearner:
    """Return a small network on forty noisy pictures, half of them without a label."""
    generator = np.random.default_rng(0)
    rows = np.arange(40)
    labels = (rows % 2).astype(np.float32)
    labels[20:] = np.nan
    grey = generator.integers(10000, 50000, (40, 48, 48)).astype(np.uint16)
    split = np.array(["train", "train", "train", "validation"] * 10, dtype=object)
    samples = PictureSamples(grey, rows, labels, split, rows, {}, PictureOptions())
    torch.manual_seed(0)
    network = resnet_small.build(resnet_small.Options(width=8, blocks=1), None, 0)
    classifier = Classifier(network, *samples.levels(samples.labelled("train")), 0, 0.0)
    return ClassifierLearner(classifier, Loader(samples, None, 6, 0, 0, epoch_batches=4), "last")


@pytest.mark.parametrize(
    "name", [name for name in TRAINERS.names() if name not in ("supervised", "mutual_consistency")]
)
def test_every_trainer_learns_from_unlabelled_lesions(name: str) -> None:
    inner = learner()
    rows = inner.loader.samples.unlabelled("train")
    options = TRAINERS.options(name)(start_share=0.0, ramp_share=0.0, weight=50.0)
    trainer = TRAINERS.load(name).wrap(inner, lambda epoch: inner.loader.unlabelled(rows, epoch, 5), options)
    trainer.begin(epochs=2)
    if name == "self_training":
        trainer.rounds = 2
    trainer.confidence = 0.5
    trainer.mode(training=True)
    batch = next(iter(trainer.batches(1)))
    assert [len(part) for part in batch] == [6, 5]
    assert bool(torch.isnan(batch[1].labels).all())
    loss = trainer.loss(batch, 1, 0)
    parameters = [item for group in trainer.groups(1e-3) for item in group["params"]]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    assert sum(float(gradient.abs().sum()) for gradient in gradients if gradient is not None) > 0
    assert bool(torch.isfinite(loss))
    assert trainer.steps() == 4


def test_a_classifier_has_no_decoders_for_mutual_consistency() -> None:
    with pytest.raises(ConfigError, match=r"trains Classifier, which offers no further decoder; expected a U-Net"):
        TRAINERS.load("mutual_consistency").wrap(learner(), lambda _: [], TRAINERS.options("mutual_consistency")())


def forget_labels_of_training_patients(study: Any) -> set[str]:
    """Make the malignancy of the lesions of three training patients unknown; return source and patient of each."""
    tables = {folder / "lesions.parquet": pd.read_parquet(folder / "lesions.parquet") for folder in study.images}
    lesions = pd.concat(tables.values())
    patients = lesions.loc[lesions["split"] == "train", "patient_id"].unique()[:3]
    for path, table in tables.items():
        table.loc[table["patient_id"].isin(patients), "malignant"] = pd.NA
        table.to_parquet(path, index=False)
    return set((lesions["source"] + "/" + lesions["patient_id"])[lesions["patient_id"].isin(patients)])


@pytest.mark.parametrize(("trainer", "counts"), [("fixmatch", True), ("supervised", False)])
@pytest.mark.parametrize("given", ["context_crop", "whole_image"])
def test_patients_that_were_learned_from_without_a_label_count_as_seen(
    study: Any, given: str, trainer: str, counts: bool
) -> None:
    forgotten = forget_labels_of_training_patients(study)
    values = {
        "input": given, "network": "resnet_small", "network_options": {"width": 8, "blocks": 1}, "epochs": 1,
        "batch_size": 4, "device": "cpu", "input_options": {"image_px": 32}, "trainer": trainer,
        "few_labels": {"epoch_batches": 2},
    }  # fmt: skip
    output = Path(study.root / "classification" / "few")
    train_classifier(validate_settings(ClassifierSettings, values, "test"), "few", study.files(), output, 1)
    record = json.loads((output / "seeds" / "0" / "record.json").read_text(encoding="utf-8"))
    assert len(forgotten) == 3
    assert forgotten & set(record["patients"]) == (forgotten if counts else set())
    assert len(record["patients"]) > 3


def test_images_without_lesions_count_among_the_patients_without_a_label(study: Any) -> None:
    def add_normal(table: pd.DataFrame) -> pd.DataFrame:
        normal = table[table["split"] == "train"].head(1)
        normal = normal.assign(image_id="N" + normal["image_id"], patient_id="N" + normal["patient_id"])
        return pd.concat([table, normal], ignore_index=True)

    study.rewrite_images(add_normal)  # one in each of two shards
    values = {
        "input": "whole_image", "network": "resnet_small", "network_options": {"width": 8, "blocks": 1}, "epochs": 1,
        "batch_size": 4, "device": "cpu", "input_options": {"image_px": 32}, "trainer": "mean_teacher",
        "few_labels": {"epoch_batches": 2},
    }  # fmt: skip
    output = Path(study.root / "classification" / "few")
    train_classifier(validate_settings(ClassifierSettings, values, "test"), "few", study.files(), output, 1)
    record = json.loads((output / "training.json").read_text(encoding="utf-8"))
    labelled = study.lesions.loc[study.lesions["split"] == "train", "patient_id"].nunique()
    assert (record["labelled_patients"], record["unlabelled_patients"]) == (labelled, 2)


def test_the_record_of_a_classifier_says_whose_labels_it_used(study: Any) -> None:
    values = {
        "input": "context_crop", "network": "resnet_small", "network_options": {"width": 8, "blocks": 1}, "epochs": 1,
        "batch_size": 4, "device": "cpu", "input_options": {"image_px": 32}, "trainer": "fixmatch",
        "few_labels": {"fraction": 0.5, "draw": 1, "epoch_batches": 2, "unlabelled_batch_size": 3},
    }  # fmt: skip
    output = Path(study.root / "classification" / "few")
    train_classifier(validate_settings(ClassifierSettings, values, "test"), "few", study.files(), output, 1)
    record = json.loads((output / "training.json").read_text(encoding="utf-8"))
    training = pd.concat([pd.read_parquet(folder / "lesions.parquet") for folder in study.images])
    patients = training.loc[training["split"] == "train", "patient_id"].nunique()
    assert record["labelled_patients"] + record["unlabelled_patients"] == patients
    assert record["labelled_patients"] == round(patients / 2 + 1e-9)
    assert (record["label_fraction"], record["label_draw"], record["steps"]) == (0.5, 1, 2)
