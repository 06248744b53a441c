"""An ablation gives each change an entry of its own, and refuses what cannot be one."""

from __future__ import annotations

from typing import Any

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError

UNET = {"architecture": "unet_16", "train": {"recipe": "automatic", "options": {"epochs": 3, "side_px": 64}}}


def study(ablation: dict[str, Any], **sections: Any) -> StudyConfig:
    segmentation = {"run": ["small", "unet"], "models": {"unet": UNET}}
    values = {"segmentation": segmentation, **sections, "comparison": {"ablation": ablation}}
    return validate_settings(StudyConfig, values, "the test")


def test_a_change_is_a_model_with_the_other_options_of_its_base() -> None:
    changes = {"short": {"train": {"options": {"epochs": 1}}}, "bce": {"train": {"options": {"loss": "bce"}}}}
    config = study({"models": {"unet": changes}})
    assert config.segmentation.run == ["small", "unet", "unet-short", "unet-bce"]
    options = {name: config.segmentation.models[name].train.options for name in ("unet", "unet-short", "unet-bce")}  # type: ignore[union-attr]
    assert [(one.epochs, one.side_px, one.loss) for one in options.values()] == [
        (3, 64, "dice_bce"),
        (1, 64, "dice_bce"),
        (3, 64, "bce"),
    ]
    assert "segmentation_models/unet-bce" in config.stages()


def test_a_change_of_a_default_classifier_keeps_what_it_does_not_name() -> None:
    config = study({"classifiers": {"context_crop": {"random_weights": {"weights": ""}}}})
    base, changed = (
        config.classification.classifiers[name] for name in ("context_crop", "context_crop-random_weights")
    )
    assert config.classification.run[:2] == ["context_crop", "context_crop-random_weights"]
    assert (changed.weights, changed.title) == ("", "EfficientNet-Lite0 context crop: random weights")
    assert base.model_copy(update={"weights": "", "title": changed.title}) == changed


def test_a_base_that_does_not_run_is_added_to_the_run() -> None:
    config = study({"models": {"unet": {"bce": {"train": {"options": {"loss": "bce"}}}}}},
                   segmentation={"run": ["small"], "models": {"unet": UNET}})  # fmt: skip
    assert config.segmentation.run == ["small", "unet", "unet-bce"]


@pytest.mark.parametrize(
    ("ablation", "message"),
    [
        ({"models": {"net": {"bce": {"train": {}}}}}, "ablation.models names 'net'; expected an entry"),
        ({"models": {"unet": {}}}, "unet has no change; expected at least one"),
        ({"models": {"unet": {"none": {}}}}, "unet.none changes nothing"),
        ({"models": {"unet": {"unchanged": {"weights": "x"}}}}, "names the change 'unchanged'"),
        ({"models": {"unet": {"a-b": {"weights": "x"}}}}, "names the change 'a-b'"),
        ({"models": {"unet": {"bad": {"train": {"options": {"epoch": 1}}}}}}, "unet-bad.train.*epoch"),
        ({"classifiers": {"three": {"small": {"epochs": 1}}}}, "three.*of classes"),
    ],
)
def test_what_cannot_be_an_ablation_is_refused(ablation: dict[str, Any], message: str) -> None:
    three = {"target": "classes", "input": "whole_image", "network": "resnet_small"}
    sections = {
        "cohort": {"classes": ["normal", "benign", "malignant"]},
        "classification": {"run": ["three"], "classifiers": {"three": three}},
    }
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        study(ablation, **sections)


def test_a_name_that_is_taken_is_refused() -> None:
    segmentation = {"run": ["small"], "models": {"unet": UNET, "unet-bce": UNET}}
    with pytest.raises(ConfigError, match="unet-bce is an entry, and also the name of the change bce of unet"):
        study({"models": {"unet": {"bce": {"train": {"options": {"loss": "bce"}}}}}}, segmentation=segmentation)
