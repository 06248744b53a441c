"""Settings of the saliency maps: which classifiers get them, and that training does not depend on them."""

from __future__ import annotations

from typing import Any

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError

RUN = ["perceptron_frozen", "efficientnet_whole_image", "context_crop"]


def config_of(**saliency: Any) -> StudyConfig:
    return validate_settings(StudyConfig, {"classification": {"run": RUN}, "saliency": saliency}, "test")


def jobs(config: StudyConfig) -> list[str]:
    return [job for job in config.stages() if job.startswith("saliency/")]


def test_classifiers_of_pictures_get_maps_unless_told_otherwise() -> None:
    assert jobs(config_of()) == ["saliency/efficientnet_whole_image", "saliency/context_crop"]
    assert jobs(config_of(run=False)) == []
    assert jobs(config_of(run=["context_crop"])) == ["saliency/context_crop"]


@pytest.mark.parametrize("name", ["perceptron_frozen", "efficientnet_masked_crop", "nothing"])
def test_a_classifier_without_pictures_or_that_does_not_run_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"saliency.run names '{name}'; expected some of"):
        config_of(run=[name])


def test_a_method_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"methods is \['grad_cam', 'grad_cam'\]; expected each once"):
        config_of(methods=["grad_cam", "grad_cam"])


def test_no_setting_of_the_maps_reaches_the_training() -> None:
    one, other = config_of().stages(), config_of(methods=["integrated_gradients"], lesions=5).stages()
    changed = {job for job in one if one[job] != other[job]}
    assert changed == {"saliency/efficientnet_whole_image", "saliency/context_crop"}
