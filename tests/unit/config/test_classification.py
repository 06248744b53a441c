"""Entries of classifiers: merged over the defaults, held to their members, and to the other stages."""

from __future__ import annotations

from typing import Any

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.classification import DEFAULT_RUN
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError

DEFINED = [
    "context_crop", "efficientnet_masked_crop", "efficientnet_whole_image", "efficientnet_whole_image_radiomics",
    "perceptron_frozen", "perceptron_decoder_tuned", "perceptron_all_tuned",
]  # fmt: skip


def config_of(values: dict[str, Any]) -> StudyConfig:
    return validate_settings(StudyConfig, values, "test")


def classifier(name: str, **changes: Any) -> dict[str, Any]:
    return {"classification": {"classifiers": {name: changes}}}


def test_the_default_trains_one_network_of_pictures_and_three_perceptrons() -> None:
    classification = StudyConfig().classification
    assert list(classification.classifiers) == DEFINED
    assert classification.run == list(DEFAULT_RUN) == ["context_crop", *DEFINED[4:]]
    titles = [classification.classifiers[name].title for name in classification.run]
    assert titles[:2] == ["EfficientNet-Lite0 context crop", "Perceptron frozen"]


def test_the_network_of_pictures_starts_from_published_weights() -> None:
    entries = StudyConfig().classification.classifiers
    assert {name: entry.weights for name, entry in entries.items() if entry.weights} == {"context_crop": "published"}
    assert entries["context_crop"].network == "efficientnet_lite0"


def test_entries_merge_and_the_list_is_replaced() -> None:
    values = classifier("efficientnet_masked_crop", epochs=3, input_options={"image_px": 64})
    values["classification"]["run"] = ["efficientnet_masked_crop"]
    values["classification"]["classifiers"]["mine"] = {"input": "whole_image", "network": "efficientnet_b0"}
    classification = config_of(values).classification
    assert classification.run == ["efficientnet_masked_crop"]
    changed: Any = classification.classifiers["efficientnet_masked_crop"]
    assert (changed.epochs, changed.input, changed.title) == (3, "masked_crop", "EfficientNet-B0 masked crop")
    assert (changed.input_options.image_px, changed.input_options.crop_margin) == (64, 0.1)
    assert list(classification.classifiers) == [*DEFINED, "mine"]


def test_each_classifier_that_is_trained_has_its_settings_file() -> None:
    values = {"device": "cpu", "classification": {"run": ["perceptron_frozen"]}}
    stages = config_of(values).stages()
    assert [name for name in stages if name.startswith("classifiers/")] == ["classifiers/perceptron_frozen"]
    settings: Any = stages["classifiers/perceptron_frozen"]
    assert settings.device == "cpu"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            classifier("mine", input="prompted", network="efficientnet_b0"),
            r"mine: .*efficientnet_b0, which takes a picture.*gives a vector; expected one of linear, perceptron",
        ),
        (
            classifier("efficientnet_masked_crop", input="crop"),
            r"input: 'crop' is no classifier input; expected one of .*masked_crop",
        ),
        (
            classifier("efficientnet_masked_crop", input_options={"image_px": 8}),
            r"efficientnet_masked_crop\.input_options\.image_px: found 8; expected: .*32",
        ),
        (
            classifier("efficientnet_whole_image", input_options={"crop_margin": 0.1}),
            r"efficientnet_whole_image\.input_options\.crop_margin: unknown key",
        ),
        (
            classifier("perceptron_frozen", title="Perceptron decoder tuned"),
            r"classifiers\.perceptron_decoder_tuned\.title is 'Perceptron decoder tuned', and figures show "
            "perceptron_frozen as 'Perceptron decoder tuned' too; expected a title of its own",
        ),
        (
            {
                "classification": {
                    "classifiers": {
                        "perceptron_frozen": {"title": ""},
                        "perceptron_all_tuned": {"title": "perceptron frozen"},
                    }
                }
            },
            r"classifiers\.perceptron_all_tuned\.title is 'perceptron frozen', and figures show perceptron_frozen",
        ),
        (classifier("perceptron_frozen", title="For $5 or $6"), r"title is 'For \$5 or \$6'; expected one without \$"),
        (classifier("perceptron_frozen", weights="x.pth"), "perceptron starts from random weights"),
        (classifier("perceptron_frozen", patience=3), r"patience is 3 and keep is last.*keep: best_auc"),
        (
            classifier("perceptron_frozen", validate_every=2, keep="best_auc"),
            r"validate_every is 2 and keep is best_auc.*validate_every: 1, or keep: last",
        ),
        (
            classifier("perceptron_frozen", validate_every=2, trainer="fixmatch"),
            r"validate_every is 2 and trainer is fixmatch.*trainer: supervised",
        ),
        (classifier("perceptron_frozen", seeds=[1, 1]), r"seeds: .*names one twice"),
        (
            classifier("perceptron_frozen", seeds=[0, 2**31 + 1]),
            r"seeds\.1: found 2147483649; expected: .*less than or equal to 2147483648",
        ),
        (classifier("perceptron_frozen", few_labels={"draw": 10**20}), r"few_labels\.draw: found 1"),
        (
            classifier("perceptron_frozen", test_time_flips="all"),
            r"test_time_flips is all, but the input prompted gives a vector",
        ),
        (
            classifier("perceptron_frozen", threshold={"method": "sensitivity"}),
            r"perceptron_frozen\.threshold: .*value is null and method is sensitivity",
        ),
        (classifier("perceptron_frozen", threshold={"value": 0.4}), "value is 0.4 and method is youden"),
        (classifier("perceptron_frozen", covariates=["birads"]), r"covariates\.0: found 'birads'"),
        (classifier("perceptron_frozen", covariates=["view", "view"]), r"covariates: .*names one twice"),
        (classifier("a/b", input="whole_image", network="efficientnet_b0"), "classifiers names 'a/b'"),
        ({"classification": {"run": ["vgg"]}}, "run names 'vgg'; expected one of classifiers: context_crop, eff"),
        (
            {"classification": {"run": ["perceptron_frozen", "perceptron_frozen"]}},
            "expected each classifier once",
        ),
        (
            {"prompts": {"kinds": ["point"]}},
            r"prompts\.kinds is \['point'\], but perceptron_frozen, .* decode each lesion from a box",
        ),
        (
            {**classifier("perceptron_frozen", vectors=["gabor"]), "features": {"run": ["radiomics"]}},
            r"classifiers\.perceptron_frozen\.vectors names 'gabor'; expected one of features\.run",
        ),
    ],
)
def test_what_does_not_fit_is_told_before_the_first_job(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        config_of(values)


def test_classifiers_that_do_not_run_may_share_a_title() -> None:
    values = classifier("perceptron_frozen", title="Perceptron all tuned")
    values["classification"]["run"] = ["perceptron_frozen"]
    assert config_of(values).classification.classifiers["perceptron_frozen"].title == "Perceptron all tuned"


def test_point_prompts_are_fine_without_a_prompted_classifier() -> None:
    values = {"prompts": {"kinds": ["point"]}, "classification": {"run": ["efficientnet_masked_crop"]}}
    assert config_of(values).prompts.kinds == ["point"]


def test_patience_goes_with_the_best_epoch() -> None:
    values = classifier("perceptron_frozen", patience=3, keep="best_auc")
    assert config_of(values).classification.classifiers["perceptron_frozen"].patience == 3
