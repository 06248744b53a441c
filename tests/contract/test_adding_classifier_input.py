"""The section on classifier inputs is true: its module and its configuration train a classifier."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from mammoflow.config.base import validate_settings
from mammoflow.config.classification import INPUTS
from mammoflow.config.study import StudyConfig
from mammoflow.planning.classifiers import classifier_inputs, classifier_modules
from mammoflow.run.provenance import code_digest

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-model.md"


def block(language: str) -> str:
    """Return the only block of code in a language in the section on classifier inputs."""
    text = PAGE.read_text(encoding="utf-8")
    section = re.search(r"^## A classifier input$(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    blocks = re.findall(rf"^```{language}\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    return str(blocks[0])


@pytest.fixture
def fixed_square(add_member: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the module of the page to the inputs; nothing else changes.

    The code digest of a training covers modules below `src`, where the module of this test is not.
    """
    add_member(INPUTS, "fixed_square", block("python"))
    monkeypatch.setattr("mammoflow.classification.stage.code_digest", lambda *modules: ", ".join(modules))


@pytest.fixture
def study_of_the_page(fixed_square: None) -> StudyConfig:
    """Return the configuration of the page."""
    return validate_settings(StudyConfig, yaml.safe_load(block("yaml")), "the configuration of the page")


def test_the_printed_input_and_configuration_train(
    study_of_the_page: StudyConfig, tiny: ModuleType, tiny_study: Any
) -> None:
    entry = study_of_the_page.stages()["classifiers/square_20mm"].model_dump(mode="json")
    entry["input_options"]["image_px"] = 32
    needed = {"masks": [], "prompts": [], "scores": [], "features": [], "model": None}
    output = tiny.train(tiny_study, {**entry, "epochs": 1, "device": "cpu"}, "square_20mm", **needed)
    predictions = pd.read_parquet(output / "predictions.parquet")
    assert set(predictions["lesion_id"]) == set(tiny_study.lesions["lesion_id"])
    assert predictions["probability"].between(0, 1).all()


def test_the_job_reads_images_alone(study_of_the_page: StudyConfig) -> None:
    inputs = classifier_inputs(study_of_the_page, "square_40mm")
    assert {key for key, files in inputs.items() if files} == {"images", "lesions"}


@pytest.mark.usefixtures("fixed_square")
def test_the_square_has_its_size_in_millimetres() -> None:
    member = INPUTS.load("fixed_square")
    image = np.zeros((100, 50), np.uint16)
    image[40:60, 20:30] = 50000  # 20 mm high at 1 mm, 20 mm wide at 2 mm
    picture = member.square(image, (50.0, 25.0), (1.0, 2.0), member.Options(side_mm=40.0, image_px=40))
    rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
    assert (rows[0], rows[-1] + 1) == pytest.approx((10, 30), abs=1)
    assert (columns[0], columns[-1] + 1) == pytest.approx((10, 30), abs=1)
    outside = member.square(image, (0.0, 0.0), (1.0, 2.0), member.Options(side_mm=40.0, image_px=40))
    assert not outside[:19].any()


def test_a_further_input_changes_no_job_of_the_others(request: pytest.FixtureRequest) -> None:
    config = StudyConfig()
    before = {name: code_digest(*classifier_modules(config, name)) for name in config.classification.run}
    request.getfixturevalue("fixed_square")
    assert {name: code_digest(*classifier_modules(config, name)) for name in before} == before
