"""What trainings expect of the data sets of a study."""

from __future__ import annotations

from typing import Any

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError


def study(**train: Any) -> StudyConfig:
    model = {"architecture": "unet_16", "train": {"recipe": "automatic", "options": {"sources": ["North"]}, **train}}
    cohort = {"dataset": {"reader": "inbreast", "name": "South", "folder": "south"}}
    return validate_settings(StudyConfig, {"cohort": cohort, "segmentation": {"models": {"unet": model}}}, "the test")


def test_a_data_set_that_the_study_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.options\.sources names 'North'; expected .* study: South"):
        study()


def test_further_image_folders_may_have_other_data_sets() -> None:
    assert study(more_images=["results/north/images"]).segmentation.models["unet"].train is not None
