"""A wrong configuration is told with the key, a short value, and the likely spelling."""

from __future__ import annotations

from typing import Any

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.explanation import did_you_mean, known_keys
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError


def told(values: dict[str, Any]) -> str:
    """Return the message about a configuration."""
    with pytest.raises(ConfigError) as caught:
        validate_settings(StudyConfig, values, "the test")
    return str(caught.value)


def classifier(**values: object) -> dict[str, Any]:
    return {"classification": {"classifiers": {"context_crop": values}}}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (classifier(epohcs=3), "classifiers.context_crop.epohcs: unknown key; did you mean 'epochs'?"),
        ({"Run": "a"}, "Run: unknown key; did you mean 'run'?"),
        ({"cohort": {"splits": {}}}, "cohort.splits: unknown key; did you mean 'split'?"),
        ({"cohort": {"split": {"metod": "kfold"}}}, "cohort.split.metod: unknown key; did you mean 'method'?"),
        (classifier(input_options={"image_pix": 64}), "input_options.image_pix: unknown key; did you mean 'image_px'?"),
        (
            {"segmentation": {"models": {"m": {"train": {"recipe": "tune", "form": "small"}}}}},
            "segmentation.models.m.train.form: unknown key; did you mean 'from'?",
        ),
        (
            {"segmentation": {"models": {"m": {"train": {"recipe": "tune", "options": {"batchsize": 1}}}}}},
            "options.batchsize: unknown key; did you mean 'batch_size'?",
        ),
        (
            {"prompts": {"readers": [{"name": "A", "table": "a.csv", "units": "mm"}]}},
            "prompts.readers.0.units: unknown key; did you mean 'unit'?",
        ),
        (
            {"features": {"families": {"gabor": {"orientation": 4}}}},
            "gabor.orientation: unknown key; did you mean 'orie",
        ),
        ({"zzz": 1}, "zzz: unknown key; look for a typo, or remove it"),
        (
            {"device": "cudda"},
            "device: found 'cudda'; expected: Input should be 'auto', 'cpu' or 'cuda'; did you mean 'cu",
        ),
        ({"classification": {"run": ["context_crob"]}}, "did you mean 'context_crop'?"),
        ({"segmentation": {"run": ["smal"]}}, "did you mean 'small'?"),
        (classifier(network="efficientnet_lite"), "did you mean 'efficientnet_lite0'?"),
    ],
)
def test_a_near_miss_is_answered_with_the_likely_word(values: dict[str, Any], expected: str) -> None:
    message = told(values)
    assert expected in message
    assert len(message) < 800


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"prompts": {"default_margin_mm": 7.0}}, "prompts.default_margin_mm is 7.0"),
        (classifier(vectors=["gabor"]) | {"features": {"run": ["radiomics"]}}, "context_crop.vectors names 'gabor'"),
        ({"cohort": {"split": {"method": "kfold", "folds": 3, "fold": 3}}}, "cohort.split: fold is 3"),
        ({"classification": {"run": ["nix"]}}, "classification: run names 'nix'"),
        ({"segmentation": {"default_model": "sam_vit_b"}}, "segmentation: default_model is 'sam_vit_b'"),
        ({"comparison": {"fusion": ["nix"]}}, "comparison.fusion names 'nix'"),
        ({"saliency": {"run": ["nix"]}}, "saliency.run names 'nix'"),
    ],
)
def test_an_error_between_keys_names_the_key_and_not_the_whole_configuration(values: dict[str, Any], key: str) -> None:
    message = told(values)
    assert key in message
    assert len(message) < 600


def test_a_missing_key_and_a_long_value_are_short() -> None:
    reader = {"prompts": {"readers": [{"name": "A"}]}}
    assert "prompts.readers.0.table: found nothing; expected a value; add the key" in told(reader)
    assert len(told({"run": "x" * 5000})) < 400


def test_words_that_are_not_alike_are_not_offered() -> None:
    assert did_you_mean("epohcs", ["epochs", "patience"]) == "; did you mean 'epochs'?"
    assert did_you_mean("EPOCHS", ["epochs"]) == "; did you mean 'epochs'?"
    assert did_you_mean("colour", ["epochs", "patience"]) == ""
    assert did_you_mean(7, ["7"]) == ""


def test_keys_are_known_by_their_place() -> None:
    assert "method" in known_keys(StudyConfig, ("cohort", "split"))
    assert "from" in known_keys(StudyConfig, ("segmentation", "models", "any", "train"))
    assert known_keys(StudyConfig, ("cohort", "nowhere")) == []
    assert known_keys(None, ("cohort",)) == []
