"""The job of a search reads and needs what any of its trials does."""

from __future__ import annotations

from typing import Any

from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.planning.classifiers import classifier_inputs, classifier_modules, job_memory_mb, model_options
from mammoflow.planning.jobs import job_modules
from mammoflow.planning.models import needed_models, recipe_memory_mb
from mammoflow.planning.searches import (
    model_search_memory_mb,
    search_inputs,
    search_memory_mb,
    search_model_options,
    search_modules,
)
from mammoflow.planning.workflow import gpus, reserved_threads


def config_of(space: dict[str, Any], classifier: str = "context_crop", **more: Any) -> StudyConfig:
    searches = {"one": {"classifier": classifier, "space": space}}
    return validate_settings(StudyConfig, {**more, "classification": {"run": [], "searches": searches}}, "test")


def test_a_search_reads_what_its_classifier_does() -> None:
    config = config_of({"dropout": [0.1, 0.3]}, "perceptron_frozen")
    assert search_inputs(config, "one") == classifier_inputs(config, "perceptron_frozen")
    assert search_model_options(config, "one") == model_options(config, "perceptron_frozen") != []
    assert set(classifier_modules(config, "perceptron_frozen")) < set(search_modules(config, "one"))


def test_a_search_reads_what_any_trial_needs() -> None:
    values: dict[str, Any] = {
        "input_options.centre": ["box", "mask"], "input_options.mask_channel": [False], "vectors": [[], ["gabor"]],
    }  # fmt: skip
    config = config_of(values)
    inputs = search_inputs(config, "one")
    assert inputs["masks"]
    assert inputs["features"] == [
        "results/phantom/features/gabor/00.parquet",
        "results/phantom/features/gabor/01.parquet",
    ]
    boxes = search_inputs(config_of({"input_options.centre": ["box"], "input_options.mask_channel": [False]}), "one")
    assert boxes["masks"] == boxes["features"] == []


def test_a_fold_searches_on_its_own_tables() -> None:
    config = config_of({"dropout": [0.1, 0.3]}, cohort={"split": {"method": "kfold", "folds": 2}})
    assert all("/fold-1/images/" in file for file in search_inputs(config, "one", "fold-1/")["images"])


def test_a_search_needs_the_memory_of_its_largest_trial() -> None:
    config = config_of({"batch_size": [8, 64], "input_options.image_px": [64, 160]})
    largest = config_of({"batch_size": [64], "input_options.image_px": [160]})
    assert job_memory_mb(config, "context_crop") < search_memory_mb(config, "one") == search_memory_mb(largest, "one")


def test_the_digest_covers_the_search_the_members_and_the_figure() -> None:
    modules = job_modules(config_of({"dropout": [0.1, 0.3]}))["searches/one"]
    assert {
        "mammoflow.classification.search.stage",
        "mammoflow.evaluation.search_figure",
        "mammoflow.classification.stage",
        "mammoflow.classification.inputs.context_crop",
        "mammoflow.classification.networks.efficientnet_lite0",
        "mammoflow.training.trainers.supervised",
    } == set(modules)


def models_of(space: dict[str, Any], **more: Any) -> StudyConfig:
    train = {"recipe": "automatic", "options": {"batch_size": 2}}
    models = {"mine": {"architecture": "unet_16", "train": train}}
    searches = {"one": {"model": "mine", "space": space}}
    return validate_settings(StudyConfig, {**more, "segmentation": {"models": models, "searches": searches}}, "test")


def test_a_search_of_a_model_needs_the_memory_of_its_largest_trial() -> None:
    config, largest = models_of({"batch_size": [2, 32]}), models_of({"batch_size": [32]})
    assert recipe_memory_mb(config, "mine") < model_search_memory_mb(config, "one")
    assert model_search_memory_mb(config, "one") == model_search_memory_mb(largest, "one")


def test_the_digest_of_a_search_of_a_model_covers_every_loss_that_a_trial_can_take() -> None:
    modules = job_modules(models_of({"loss": ["tversky", "focal"]}))["segmentation_searches/one"]
    assert {
        "mammoflow.segmentation.search.stage",
        "mammoflow.evaluation.search_figure",
        "mammoflow.segmentation.models.unet",
        "mammoflow.segmentation.recipes.automatic",
        "mammoflow.segmentation.mask_losses.tversky",
        "mammoflow.segmentation.mask_losses.focal",
        "mammoflow.training.trainers.supervised",
    } == set(modules)


def test_a_search_of_a_model_has_the_device_and_threads_of_its_training() -> None:
    config = models_of({"batch_size": [2, 4]}, device="cuda", training_threads={"segmentation": 6, "classifier": 1})
    assert gpus(config, "segmentation_searches/one") == 1
    assert reserved_threads(config, "segmentation_searches/one") == 6
    assert "mine" in needed_models(config)
