"""The section on classifier networks is true: its module and its configuration train a classifier."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import yaml

from mammoflow.config.base import validate_settings
from mammoflow.config.classification import NETWORKS
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError
from mammoflow.planning.classifiers import classifier_modules, job_memory_mb
from mammoflow.run.provenance import code_digest

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-model.md"
NAME = "four_convolutions_masked_crop"


def block(language: str) -> str:
    """Return the first block of code in a language in the section on classifier networks."""
    text = PAGE.read_text(encoding="utf-8")
    section = re.search(r"^## A classifier network$(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    blocks = re.findall(rf"^```{language}\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)
    return str(blocks[0])


@pytest.fixture
def four_convolutions(add_member: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the module of the page to the networks; nothing else changes.

    The code digest of a training covers modules below `src`, where the module of this test is not.
    """
    add_member(NETWORKS, "four_convolutions", block("python"))
    monkeypatch.setattr("mammoflow.classification.stage.code_digest", lambda *modules: ", ".join(modules))


@pytest.mark.usefixtures("four_convolutions")
def test_the_printed_network_and_configuration_train(tiny: ModuleType, tiny_study: Any) -> None:
    study = validate_settings(StudyConfig, yaml.safe_load(block("yaml")), "the configuration of the page")
    names = ["efficientnet_masked_crop", NAME]
    assert [stage.partition("/")[2] for stage in study.stages() if stage.startswith("classifiers/")] == names
    entry = study.stages()[f"classifiers/{NAME}"].model_dump(mode="json")
    quick = {"epochs": 1, "device": "cpu", "input_options": {"image_px": 32}}
    output = tiny.train(tiny_study, {**entry, **quick}, NAME)
    predictions = pd.read_parquet(output / "predictions.parquet")
    assert sorted(predictions["seed"].unique()) == [0, 1]
    assert set(predictions["model"]) == {NAME}
    assert predictions["probability"].between(0, 1).all()


@pytest.mark.usefixtures("four_convolutions")
def test_its_memory_and_code_follow_from_the_module() -> None:
    study = validate_settings(StudyConfig, yaml.safe_load(block("yaml")), "the configuration of the page")
    assert job_memory_mb(study, NAME) < job_memory_mb(study, "efficientnet_masked_crop")
    assert "mammoflow.classification.networks.four_convolutions" in classifier_modules(study, NAME)


@pytest.mark.usefixtures("four_convolutions")
def test_a_mistake_in_its_options_names_the_key() -> None:
    values = yaml.safe_load(block("yaml"))
    values["classification"]["classifiers"][NAME]["network_options"]["width"] = 30
    expected = rf"classification\.classifiers\.{NAME}\.network_options\.width: found 30; expected: .*multiple of 8"
    with pytest.raises(ConfigError, match=expected):
        validate_settings(StudyConfig, values, "the configuration")


def test_a_further_network_changes_no_job_of_the_others(request: pytest.FixtureRequest) -> None:
    config = StudyConfig()
    before = {name: code_digest(*classifier_modules(config, name)) for name in config.classification.run}
    request.getfixturevalue("four_convolutions")
    assert {name: code_digest(*classifier_modules(config, name)) for name in before} == before
