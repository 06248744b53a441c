"""A trained classifier applied again: the probabilities of its own run, for each kind of input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammoflow.classification.application import TrainedClassifier, apply_classifier
from mammoflow.classification.samples import Files
from mammoflow.config.inference import EncoderUse, Precision
from mammoflow.errors import ConfigError, WeightsError
from mammoflow.tables.files import read_table
from mammoflow.tables.predictions import PREDICTIONS
from mammoflow.weights.registry import ModelSpec

PICTURE = {
    "network": "resnet_small",
    "network_options": {"width": 8, "blocks": 1},
    "epochs": 1,
    "batch_size": 8,
    "device": "cpu",
    "input_options": {"image_px": 32},
}
PERCEPTRON = {"input": "prompted", "network": "perceptron", "epochs": 2, "batch_size": 8, "device": "cpu"}
CLASSIFIERS: dict[str, dict[str, Any]] = {
    "context crop, flipped": {**PICTURE, "input": "context_crop", "test_time_flips": "all", "seeds": [0, 3]},
    "masked crop, two outputs": {**PICTURE, "input": "masked_crop", "outputs": "softmax", "hidden": [8]},
    "whole image": {**PICTURE, "input": "whole_image"},
    "two views": {**PICTURE, "input": "context_two_views"},
    "frozen perceptron": {**PERCEPTRON, "input_options": {"tune": "none"}},
    "perceptron with a tuned decoder": {**PERCEPTRON, "input_options": {"tune": "decoder", "tuning_epochs": 1}},
    "perceptron with everything tuned": {**PERCEPTRON, "input_options": {"tune": "all", "tuning_epochs": 1}},
}


@pytest.mark.usefixtures("fake_model")
@pytest.mark.parametrize("name", list(CLASSIFIERS))
def test_probabilities_are_those_of_the_training_run(study: Any, tiny: Any, name: str) -> None:
    folder: Path = tiny.train(study, CLASSIFIERS[name], "classifier")
    applied = apply_classifier(TrainedClassifier.read(folder), study.files(), 1)
    of_run = read_table(folder / "predictions.parquet", PREDICTIONS)
    both = of_run.merge(applied, on=["lesion_id", "seed"], suffixes=("", "_again"), validate="one_to_one")
    assert len(both) == len(of_run) == len(applied)
    np.testing.assert_allclose(both["probability_again"], both["probability"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(both["threshold_again"], both["threshold"])
    assert both["probability"].nunique() > 2


@pytest.mark.parametrize(("trained_in", "close"), [("32-true", True), ("bf16-mixed", False)])
def test_a_classifier_of_32_bit_predicts_in_32_bit_where_bf16_is_faster(
    study: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch, trained_in: str, close: bool
) -> None:
    folder: Path = tiny.train(study, CLASSIFIERS["whole image"], "classifier")
    trained = TrainedClassifier.read(folder)
    trained.record["seeds"]["0"]["precision"] = trained_in
    monkeypatch.setattr("mammoflow.classification.application.choose_precision", lambda *_: "bf16-mixed")
    applied = apply_classifier(trained, study.files(), 1).set_index("lesion_id")["probability"]
    of_run = read_table(folder / "predictions.parquet", PREDICTIONS).set_index("lesion_id")["probability"]
    assert np.allclose(applied.loc[of_run.index], of_run, rtol=1e-5, atol=1e-6) == close


EMBEDDING = {**PERCEPTRON, "input": "whole_image_embedding"}


def with_small(files: Files, precision: Precision = "auto") -> Files:
    """Return files with the model `small` in place of the tiny one."""
    assert files.model is not None
    source = replace(files.model, model=ModelSpec("small", "small"), use=EncoderUse(precision))
    return replace(files, model=source)


def test_embeddings_have_the_precision_of_the_training_whatever_the_device_would_choose(
    study: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = with_small(study.files())
    native = "mammoflow.segmentation.precision.has_native_bf16"
    monkeypatch.setattr(native, lambda _: True)
    folder: Path = tiny.train(study, EMBEDDING, "classifier", model=files.model)
    monkeypatch.setattr(native, lambda _: False)
    trained = TrainedClassifier.read(folder)
    assert trained.record["promptable_model"]["precision"] == "bf16"
    applied = apply_classifier(trained, files, 1).set_index("lesion_id")["probability"]
    of_run = read_table(folder / "predictions.parquet", PREDICTIONS).set_index("lesion_id")["probability"]
    np.testing.assert_allclose(applied.loc[of_run.index], of_run, rtol=1e-5, atol=1e-6)
    del trained.record["promptable_model"]["precision"]  # records of earlier versions lack it
    with pytest.raises(WeightsError, match=r"and the model here is small .* in fp32; .* set segmentation\.precision"):
        apply_classifier(trained, files, 1)
    apply_classifier(trained, with_small(study.files(), "bf16"), 1)
    trained.record["promptable_model"]["precision"] = "fp16"
    with pytest.raises(ConfigError, match=r"trained on embeddings in fp16, and the device here is cpu, which does not"):
        apply_classifier(trained, files, 1)


@pytest.mark.usefixtures("fake_model")
def test_facts_say_what_it_was_trained_on(study: Any, tiny: Any) -> None:
    folder = tiny.train(study, CLASSIFIERS["context crop, flipped"], "classifier")
    for path in folder.glob("seeds/*/record.json"):
        record = json.loads(path.read_text())
        record["patients"][0] = "clinic/0123/19"
        path.write_text(json.dumps(record))
    facts = TrainedClassifier.read(folder).facts()
    assert facts["trained_on"]["sources"] == ["clinic", "tiny"]
    predictions = pd.read_parquet(folder / "predictions.parquet")
    training = predictions[(predictions["split"] == "train") & predictions["malignant"].notna()]
    assert facts["trained_on"]["patients"] == training["patient_id"].nunique()
    assert facts["calibration"] == "temperature"
    assert set(facts["temperature"]) == set(facts["weights_sha256"]) == {"0", "3"}


@pytest.mark.usefixtures("fake_model")
def test_weights_that_fit_and_are_not_those_of_their_record_are_refused(study: Any, tiny: Any) -> None:
    folder = tiny.train(study, {**CLASSIFIERS["whole image"], "seeds": [0, 1]}, "classifier")
    (folder / "seeds/0/model.safetensors").write_bytes((folder / "seeds/1/model.safetensors").read_bytes())
    with pytest.raises(WeightsError, match=r"have the digest .*, and their record names .*; copy the run again"):
        apply_classifier(TrainedClassifier.read(folder), study.files(), 1)


@pytest.mark.usefixtures("fake_model")
def test_other_weights_and_feature_vectors_are_refused(study: Any, tiny: Any) -> None:
    folder = tiny.train(study, CLASSIFIERS["whole image"], "classifier")
    other = tiny.train(study, {**CLASSIFIERS["whole image"], "network_options": {"width": 16, "blocks": 1}}, "other")
    weights = "seeds/0/model.safetensors"
    (folder / weights).write_bytes((other / weights).read_bytes())
    with pytest.raises(WeightsError, match="do not fit resnet_small"):
        apply_classifier(TrainedClassifier.read(folder), study.files(), 1)
    with_features = tiny.train(study, {**CLASSIFIERS["whole image"], "vectors": ["radiomics"]}, "vectors")
    with pytest.raises(ConfigError, match="also takes radiomics"):
        TrainedClassifier.read(with_features)
