"""The section on feature families is true: its module and its configuration run to a table and to a comparison."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mammoflow.config.base import validate_settings
from mammoflow.config.features import FEATURE_FAMILIES, read_options
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError
from mammoflow.features.lesion_patch import LesionPatch
from mammoflow.features.stage import extract
from mammoflow.planning.features import feature_gpus, feature_modules
from mammoflow.run.provenance import code_digest
from mammoflow.tables.features import FEATURES, feature_columns
from mammoflow.tables.files import read_table

from ..unit.features.conftest import Lesion, disc_mask

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-model.md"

NO_VECTORS = {"classification": {"run": ["efficientnet_masked_crop"]}}
"""A classifier without feature vectors: the default ones take radiomics."""


def block(language: str) -> str:
    """Return the only block of code in a language in the section on feature families."""
    section = re.search(r"^## A feature family$(.*?)^## ", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert section is not None
    blocks = re.findall(rf"^```{language}\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    return str(blocks[0])


@pytest.fixture
def fractal(add_member: Callable[..., Path]) -> None:
    """Add the module of the page to the feature families; nothing else changes."""
    add_member(FEATURE_FAMILIES, "fractal", block("python"))


@pytest.mark.usefixtures("fractal")
def test_the_printed_family_and_configuration_run(make_shard: Callable[..., Any], tmp_path: Path) -> None:
    study = validate_settings(StudyConfig, yaml.safe_load(block("yaml")), "the configuration of the page")
    assert [name for name in study.stages() if name.startswith("features/")] == [
        "features/gabor",
        "features/radiomics",
        "features/fractal",
    ]
    settings = tmp_path / "fractal.yaml"
    settings.write_text(yaml.safe_dump(study.stages()["features/fractal"].model_dump(mode="json")), encoding="utf-8")
    shard = make_shard([Lesion(), Lesion(predicted="none"), Lesion(radius=0.6)])
    output = tmp_path / "features" / "fractal" / "00.parquet"
    extract("fractal", read_options("fractal", settings), shard.images, shard.masks, output, threads=2)
    table = read_table(output, FEATURES)
    assert feature_columns(table, "fractal") == ["fractal_outline", "fractal_area"]
    assert "lesion_pixels" in table
    assert table["fractal_area"].notna().tolist() == [True, False, False]
    assert table["detail"].iloc[2].endswith("pixels, expected at least those of the largest box, 16")


@pytest.mark.usefixtures("fractal")
def test_dimensions_of_a_disc_are_those_of_a_line_and_of_an_area() -> None:
    options = FEATURE_FAMILIES.options("fractal")()
    mask = disc_mask((256, 256), (1.0, 1.0), (128.0, 128.0), 100.0)
    patch = LesionPatch(np.zeros(mask.shape, np.float32), mask, np.ones_like(mask), 1.0)
    values = FEATURE_FAMILIES.load("fractal").open_family(options, "cpu")(patch)
    assert values["fractal_outline"] == pytest.approx(1, abs=0.1)
    assert values["fractal_area"] == pytest.approx(2, abs=0.1)


@pytest.mark.usefixtures("fractal")
def test_a_mistake_in_its_options_names_the_key() -> None:
    values = {"features": {"run": ["fractal"], "families": {"fractal": {"box_sizes": [1]}}}, **NO_VECTORS}
    with pytest.raises(ConfigError, match=r"features\.families\.fractal\.box_sizes: found \[1\]"):
        validate_settings(StudyConfig, values, "the configuration")


def test_a_further_family_changes_no_job_of_the_others(request: pytest.FixtureRequest) -> None:
    before = {name: code_digest(*feature_modules(name)) for name in FEATURE_FAMILIES.names()}
    request.getfixturevalue("fractal")
    assert {name: code_digest(*feature_modules(name)) for name in before} == before
    values = {"device": "cuda", "features": {"run": ["fractal"]}, **NO_VECTORS}
    study = validate_settings(StudyConfig, values, "the configuration")
    assert feature_gpus(study, "fractal") == 0
