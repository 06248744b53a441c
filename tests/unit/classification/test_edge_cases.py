"""Trainings at the edge end with one sentence: a batch of one, one class, nothing that varies, nothing finite."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mammoflow.classification.batches import Loader
from mammoflow.classification.cases import Cases
from mammoflow.classification.covariates import covariate_vectors
from mammoflow.classification.networks import (
    efficientnet_b0,
    efficientnet_lite0,
    perceptron,
    resnet_small,
)
from mammoflow.classification.results import is_constant
from mammoflow.classification.stage import Training, check_finite_predictions
from mammoflow.classification.vectors import VectorSamples
from mammoflow.config.base import validate_settings
from mammoflow.config.classification import NETWORKS, ClassifierSettings
from mammoflow.errors import ConfigError, StudyError
from mammoflow.evaluation.feature_models import feature_matrix
from mammoflow.training.plan import Plan

TINY: dict[str, Any] = {
    "input": "masked_crop",
    "network": "resnet_small",
    "network_options": {"width": 8, "blocks": 1},
    "input_options": {"image_px": 32},
    "epochs": 1,
    "device": "cpu",
    "precision": "fp32",
    "batch_size": 8,
}
FROZEN: dict[str, Any] = {
    "input": "prompted",
    "network": "perceptron",
    "input_options": {"tune": "none"},
    "epochs": 1,
    "device": "cpu",
}

PLAN = Plan(2, None, 1e30, 0.0, 0, torch.device("cpu"))


def settings(**changes: Any) -> ClassifierSettings:
    return validate_settings(ClassifierSettings, {**TINY, **changes}, "test")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"network": "efficientnet_b0", "network_options": {}},
        {"network": "efficientnet_lite0", "network_options": {}},
        {**FROZEN, "network_options": {"batch_norm": True}},
    ],
)
def test_a_batch_of_one_value_is_refused_with_the_settings(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"batch_size is 1, and batch normalisation in .* expected batch_size of 2"):
        settings(**{**changes, "batch_size": 1})
    settings(**{**changes, "batch_size": 2})


@pytest.mark.parametrize(
    "changes",
    [
        {"input_options": {"image_px": 33}},
        {"network_options": {"norm": "group"}},
        {"network": "vgg16", "network_options": {}},
        {"input": "context_two_views", "input_options": {"image_px": 32}},
        {**FROZEN, "network_options": {}},
    ],
)
def test_a_batch_of_one_is_fine_where_nothing_is_normalised_over_one_value(changes: dict[str, Any]) -> None:
    assert settings(**{**changes, "batch_size": 1}).batch_size == 1


@pytest.mark.parametrize("image_px", [32, 64])
@pytest.mark.parametrize(
    ("member", "options"),
    [
        (resnet_small, resnet_small.Options(width=8, blocks=1)),
        (resnet_small, resnet_small.Options(width=8, blocks=1, norm="group")),
        (efficientnet_lite0, efficientnet_lite0.Options()),
        (efficientnet_b0, NETWORKS.options("efficientnet_b0")()),
    ],
)
def test_what_a_picture_network_says_of_its_smallest_map_is_so(member: Any, options: Any, image_px: int) -> None:
    network = member.build(options, None, 0).train()
    picture = {"picture": torch.rand(1, 1, image_px, image_px)}
    if member.normalised_pixels(options, image_px) == 1:
        with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
            network(picture)
    else:
        assert torch.isfinite(network(picture)).all()


def test_what_the_perceptron_says_is_so() -> None:
    options = perceptron.Options(batch_norm=True)
    assert perceptron.normalised_pixels(options, 0) == 1
    with pytest.raises(ValueError, match="Expected more than 1 value"):
        perceptron.build(options, None, 3).train()({"vector": torch.rand(1, 3)})


def vector_samples(rows: int) -> VectorSamples:
    vectors = np.arange(rows, dtype=np.float32)[:, None]
    labels = (np.arange(rows) % 2).astype(np.float32)
    return VectorSamples(vectors, labels, np.full(rows, "train", dtype=object), np.ones(rows, dtype=np.bool_))


@pytest.mark.parametrize(("rows", "size"), [(3, 2), (5, 2), (5, 1), (7, 3), (17, 16)])
def test_no_batch_for_the_statistics_holds_one_sample(rows: int, size: int) -> None:
    loader = Loader(vector_samples(rows), None, size, seed=0, workers=0)
    sizes = [len(batch) for batch in loader.plain(np.arange(rows), fewest=2)]
    assert min(sizes) >= 2
    assert sum(sizes) == rows
    assert [len(batch) for batch in loader.plain(np.arange(1), fewest=2)] == [1]


def test_batches_of_two_and_an_odd_number_of_lesions_are_trained(tiny_study: Any, tiny: Any) -> None:
    tiny_study.rewrite_lesions(lambda table: table[~((table["split"] == "train") & (table.index % 3 == 0))])
    output = tiny.train(tiny_study, {**TINY, "batch_size": 2}, "two")
    assert pd.read_parquet(output / "predictions.parquet")["probability"].notna().any()


def one_class(split: str) -> Any:
    """Return a change of the lesions: those of a split are benign."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(malignant=table["malignant"].where(table["split"] != split, 0))

    return change


def test_one_class_in_train_stops_before_training(tiny_study: Any, tiny: Any) -> None:
    tiny_study.rewrite_lesions(one_class("train"))
    with pytest.raises(StudyError, match=r"train has 0 malignant, \d+ benign; expected both classes"):
        tiny.train(tiny_study, TINY, "one")


def test_one_class_in_validation_stops_only_where_its_auc_decides(tiny_study: Any, tiny: Any) -> None:
    tiny_study.rewrite_lesions(one_class("validation"))
    with pytest.raises(StudyError, match=r"validation has 0 malignant, \d+ benign, and its AUC decides .*keep to last"):
        tiny.train(tiny_study, {**TINY, "keep": "best_auc"}, "best")
    assert (tiny.train(tiny_study, TINY, "last") / "predictions.parquet").is_file()


def test_no_validation_stops_before_training(tiny_study: Any, tiny: Any) -> None:
    tiny_study.rewrite_lesions(lambda table: table[table["split"] != "validation"])
    with pytest.raises(StudyError, match="validation has no labelled lesion"):
        tiny.train(tiny_study, TINY, "none")


def test_a_huge_learning_rate_is_one_sentence(
    tiny_study: Any, tiny: Any, fake_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Training, "_plan", lambda self, seed: replace(PLAN, seed=seed, device=self.device))
    with pytest.raises(StudyError, match="Lower the learning rate"):
        tiny.train(tiny_study, FROZEN, "huge")


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 0.0, -1.0])
@pytest.mark.parametrize("key", ["learning_rate", "input_options.tuning_learning_rate"])
def test_rates_that_no_training_survives_are_refused_with_the_settings(key: str, value: float) -> None:
    outer, _, inner = key.partition(".")
    values: dict[str, Any] = {**FROZEN, outer: {"tune": "all", inner: value} if inner else value}
    with pytest.raises(ConfigError, match=f"{key}: found "):
        validate_settings(ClassifierSettings, values, "test")


def test_predictions_that_are_not_finite_are_an_error_and_missing_inputs_are_not() -> None:
    samples = vector_samples(3)
    samples.usable[2] = False
    check_finite_predictions(np.array([0.0, 1.0, np.nan]), samples, "a", 1e-3)
    for lost in (np.nan, np.inf, -np.inf):
        with pytest.raises(StudyError, match=r"training a gave predictions that are not finite for 1 of 3 lesions"):
            check_finite_predictions(np.array([0.0, lost, np.nan]), samples, "a", 1e-3)


def test_inputs_that_are_not_finite_are_an_error(
    tiny_study: Any, tiny: Any, fake_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VectorSamples, "levels", lambda *_: (torch.tensor([np.nan]), torch.tensor([1.0])))
    with pytest.raises(StudyError, match="the input prompted of lost has values that are not finite numbers"):
        tiny.train(tiny_study, FROZEN, "lost")


def test_covariates_of_which_none_varies_are_told_and_left_out(
    tiny_study: Any, tiny: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tiny.train(tiny_study, {**TINY, "covariates": ["lesion_type", "view"]}, "constant")
    assert (output / "predictions.parquet").is_file()
    assert "found lesion_type, view, of which no value differs between the training lesions" in capsys.readouterr().err


def test_one_covariate_that_varies_is_enough() -> None:
    lesions = pd.DataFrame({"lesion_type": ["mass"] * 4, "view": ["CC", "MLO", "CC", None]})

    class Cases:
        def __init__(self) -> None:
            self.lesions = lesions

    vectors = covariate_vectors(["lesion_type", "view"], Cases(), np.arange(4))  # type: ignore[arg-type]
    assert vectors.columns == ["view=CC", "view=MLO"]
    assert vectors.values.tolist() == [[1, 0], [0, 1], [1, 0], [0, 0]]


def test_features_beyond_all_measure_are_not_defined() -> None:
    lesions = pd.DataFrame(index=["a", "b", "c", "d"])
    features = pd.DataFrame({"lesion_id": ["a", "b", "c"], "radiomics_x": [1.0, np.inf, 1e200]})
    matrix = feature_matrix("radiomics", features, lesions)
    assert matrix["radiomics_x"].isna().tolist() == [False, True, True, True]


def test_outputs_of_a_single_validation_image_do_not_count_as_constant() -> None:
    """An input of whole images gives the lesions of one image one probability."""
    values = np.array([0.1, 0.9, 0.2, 0.7, 0.7])
    lesions = pd.DataFrame({"image_id": list("abcdd"), "split": ["train"] * 3 + ["validation"] * 2, "malignant": 1})
    assert not is_constant(Cases(lesions, pd.DataFrame()), values)
    assert not is_constant(Cases(lesions[:4], pd.DataFrame()), values[:4])
    assert is_constant(Cases(lesions.assign(image_id=list("abcde")), pd.DataFrame()), values)
    assert is_constant(Cases(lesions, pd.DataFrame()), np.array([0.5, 0.5, 0.5, 0.1, 0.9]))


@pytest.mark.parametrize("trainer", ["adversarial", "cross_pseudo_supervision"])
def test_trainers_that_do_not_know_a_tuned_promptable_model_are_refused(trainer: str) -> None:
    values = {"input": "prompted", "network": "perceptron", "trainer": trainer}
    validate_settings(ClassifierSettings, {**values, "input_options": {"tune": "none"}}, "the test")
    with pytest.raises(ConfigError, match=rf"trainer is {trainer} and input_options.tune is decoder"):
        validate_settings(ClassifierSettings, {**values, "input_options": {"tune": "decoder"}}, "the test")
