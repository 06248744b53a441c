"""Settings of the search of a segmentation model: each point is a valid training, or the run stops first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mammoflow.config.base import read_settings, validate_settings
from mammoflow.config.documentation import settings_text
from mammoflow.config.model_search import OBJECTIVES, ModelSearchJob
from mammoflow.config.recipes import RECIPES
from mammoflow.config.search_space import with_values
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError

MODELS: dict[str, Any] = {
    "mine": {"architecture": "unet_16", "train": {"recipe": "automatic", "options": {"epochs": 8}}},
    "weighted": {"architecture": "unet_16", "train": {"recipe": "automatic", "options": {
        "loss": "tversky", "loss_options": {"false_negatives": 0.8}}}},
    "few": {"architecture": "unet_16", "train": {"recipe": "automatic", "options": {"few_labels": {"fraction": 0.5}}}},
    "tuned": {"train": {"recipe": "tune", "from": "small"}},
    "pretrained": {"architecture": "setr_tiny", "train": {"recipe": "masked_autoencoder"}},
    "given": {"architecture": "small", "weights": "mine.safetensors"},
}  # fmt: skip
RATES = {"learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}}


def config_of(space: dict[str, Any], model: str = "mine", **search: Any) -> StudyConfig:
    searches = {"rates": {"model": model, "space": space, **search}}
    values = {"device": "cpu", "segmentation": {"models": MODELS, "searches": searches}}
    return validate_settings(StudyConfig, values, "test")


def test_there_is_no_search_by_default() -> None:
    assert StudyConfig().segmentation.searches == {}
    assert not [job for job in StudyConfig().stages() if job.startswith("segmentation_searches/")]


def test_the_settings_file_of_a_search_gives_its_job_back(tmp_path: Path) -> None:
    job = config_of({**RATES, "loss": ["dice", "focal"]}).stages()["segmentation_searches/rates"]
    file = tmp_path / "rates.yaml"
    file.write_text(settings_text(job), encoding="utf-8")
    read: Any = read_settings(ModelSearchJob, file)
    assert (read.device, read.training.options.device, read.training.options.epochs) == ("cpu", "cpu", 8)
    assert read.model_dump() == job.model_dump()


def test_options_of_another_loss_are_its_defaults() -> None:
    """In the settings file of the job the options of the present loss are all written out."""
    options: Any = config_of(RATES, "weighted").segmentation.models["weighted"].train.options  # type: ignore[union-attr]
    kept: Any = with_values(options, {"loss": "tversky", "learning_rate": 0.5})
    changed: Any = with_values(options, {"loss": "focal"})
    assert (kept.loss_options.false_negatives, kept.learning_rate) == (0.8, 0.5)
    assert set(changed.loss_options.model_dump()) == {"alpha", "gamma", "dice_weight"}


@pytest.mark.parametrize(
    ("space", "model", "expected"),
    [
        ({"learning_rat": [1e-3]}, "mine", r"searches\.rates\.space\.learning_rat: unknown key.*'learning_rate'"),
        ({"method": ["lora", "decoder"]}, "mine", r"searches\.rates\.space\.method: unknown key"),
        ({"side_px": [64, 65]}, "mine", r"searches\.rates\.space\.side_px: found 65"),
        ({"side_px": {"low": 64, "high": 96}}, "mine", r"side_px: found 65; expected: .*multiple of 32"),
        ({"copy_paste": {"low": 0.0, "high": 1.5}}, "mine", r"searches\.rates\.space\.copy_paste: found 1\.5"),
        ({"loss": ["dice", "dise"]}, "mine", r"searches\.rates\.space\.loss: 'dise' is no loss; .*'dice'"),
        ({"loss_options.alpha": [0.5]}, "mine", r"searches\.rates\.space\.loss_options\.alpha: unknown key"),
        ({"loss": ["dice", "tversky"]}, "weighted", "space names loss, and models.weighted.train.options.loss_options"),
        ({"method": ["decoder", "lora"]}, "tuned", r"searches\.rates\.space: options\.method is lora, but small"),
        ({"kinds": [["box"], ["box", "point"]], "empty_images": [True]}, "tuned", "empty_images is true and kinds is"),
        ({"kinds": [["box"], ["point", "box"]]}, "tuned", "space.kinds is .*expected lists with the same kind first"),
        ({"seed": [1, 2]}, "mine", "space names seed, which the search decides itself"),
        ({"few_labels.fraction": [0.5, 1.0]}, "mine", "few_labels.fraction, which chooses other patients or labels"),
        ({"patients": [2, 4]}, "tuned", "space names patients, which chooses other patients or labels"),
        ({"validation_patients": [2]}, "tuned", "validation_patients, which changes what the Dice of a trial is"),
        ({"encoder_weights": ["", "file"]}, "mine", "encoder_weights, which needs other files or models"),
        (RATES, "few", r"few_labels\.fraction 0\.5, but the search needs the labels of all training patients"),
        (RATES, "pretrained", "recipe masked_autoencoder, which computes no Dice of validation patients"),
        (RATES, "given", r"searches\.rates\.model is 'given', whose weights are not trained by the run"),
        (RATES, "mime", r"searches\.rates\.model is 'mime'; expected one of models.*did you mean 'mine'"),
        (RATES, "small", r"searches\.rates\.model is 'small'; expected one of models with the key train: mine"),
        ({"learning_rate": []}, "mine", "expected different values"),
    ],
)
def test_a_search_that_cannot_be_made_stops_the_run(space: dict[str, Any], model: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        config_of(space, model)


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({"held_out_folds": 4}, "held_out_folds is 4 and inner_folds is 3"),
        ({"sampler": "grid"}, "space.learning_rate is a range"),
        ({"epochs": 0}, r"searches\.rates\.epochs: found 0"),
    ],
)
def test_settings_of_a_search_are_checked(search: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        config_of(RATES, **search)


def test_a_run_that_trains_nothing_has_no_search() -> None:
    values = {
        "cohort": {"split": {"method": "apply"}},
        "classification": {"run": []},
        "segmentation": {"models": {"mine": MODELS["mine"]}, "searches": {"rates": {"model": "mine", "space": RATES}}},
    }
    with pytest.raises(ConfigError, match=r"segmentation\.searches has rates, which train"):
        validate_settings(StudyConfig, values, "test")


def test_colours_of_a_searched_model_need_colours_that_are_kept() -> None:
    models = {"mine": {"architecture": "unet_16", "train": {"recipe": "automatic", "options": {"colour": "rgb"}}}}
    searches = {"rates": {"model": "mine", "space": RATES}}
    values = {"segmentation": {"models": models, "searches": searches}}
    with pytest.raises(ConfigError, match=r"segmentation\.models\.mine\.train\.options\.colour is rgb"):
        validate_settings(StudyConfig, values, "test")
    validate_settings(StudyConfig, {**values, "images": {"colour": "keep"}}, "test")


def test_what_is_searched_are_recipes() -> None:
    assert set(OBJECTIVES) < set(RECIPES.names())
