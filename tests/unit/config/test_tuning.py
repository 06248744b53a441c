"""Tuned models in the configuration: names, circles, architectures, and where their weights lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError, WeightsError
from mammoflow.planning.models import model_argument, weights_path
from mammoflow.planning.preflight import check_files


def config(tuned: dict[str, Any], custom: dict[str, Any] | None = None, **segmentation: Any) -> StudyConfig:
    values = {"tuning": {"models": tuned}, "segmentation": {"custom": custom or {}, **segmentation}}
    return validate_settings(StudyConfig, values, "the configuration")


def test_a_tuned_model_is_segmented_with_the_weights_of_the_run() -> None:
    found = config(
        {"mine": {"model": "small", "method": "decoder"}},
        {"mine": {"architecture": "small"}},
        models=["small", "mine"],
    )
    assert weights_path(found, "mine") == Path("results/phantom/tuning/mine/model.safetensors")
    assert model_argument(found, "mine") == "mine=small"
    check_files(found)


def test_the_weights_that_a_model_starts_from_must_be_there(tmp_path: Path) -> None:
    found = config({"mine": {"model": "sam_vit_b", "method": "lora"}}, weights={"sam_vit_b": str(tmp_path / "x.pth")})
    with pytest.raises(WeightsError, match=r"x\.pth for sam_vit_b does not exist"):
        check_files(found)
    assert found.stages()["prefetch"].models == {"small": "", "sam_vit_b": str(tmp_path / "x.pth")}  # type: ignore[attr-defined]


TUNED = {"model": "small", "method": "decoder"}


@pytest.mark.parametrize(
    ("models", "custom", "message"),
    [
        ({"sam_vit_b": TUNED}, {}, "expected a name that no published model has"),
        ({"ellipse": TUNED}, {}, "expected a name that no published model has"),
        ({"a/b": TUNED}, {}, "expected a name that no published model has"),
        ({"a": {**TUNED, "model": "other"}}, {}, r"tuning\.models\.a\.model is 'other'"),
        ({"a": {**TUNED, "model": "a"}}, {"a": {"architecture": "small"}}, "goes in a circle"),
        (
            {"a": {**TUNED, "model": "b"}, "b": {**TUNED, "model": "a"}},
            {"a": {"architecture": "small"}, "b": {"architecture": "small"}},
            "goes in a circle",
        ),
        ({"a": TUNED}, {"a": {"architecture": "sam_vit_b"}}, "expected small"),
        ({"a": TUNED}, {"a": {"architecture": "small", "weights": "x.pth"}}, "give one of them another name"),
        ({}, {"a": {"architecture": "small"}}, r"has no weights and tuning\.models does not name it"),
        ({"a": {**TUNED, "method": "lora"}}, {}, "small has no attention; expected decoder or all"),
        ({"a": {**TUNED, "method": "some"}}, {}, "Input should be 'decoder'"),
    ],
)
def test_models_that_cannot_be_tuned_are_refused(models: dict, custom: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(models, custom)
