"""The section on automatic segmentation models is true: its module and configuration train and segment."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mammoflow.config.architectures import ARCHITECTURE_MODULES, architecture
from mammoflow.config.base import validate_settings
from mammoflow.config.detection import AutomaticSettings
from mammoflow.config.recipes import RecipeSettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError
from mammoflow.planning.models import automatic_models, model_spec, segment_modules, training_modules
from mammoflow.run.provenance import code_digest
from mammoflow.segmentation import training_stage
from mammoflow.segmentation.automatic.stage import segment_automatic
from mammoflow.segmentation.training_stage import train_segmenter
from mammoflow.tables.detections import DETECTIONS, MAPS
from mammoflow.tables.files import read_table
from mammoflow.tables.masks import SEGMENTATION_SCORES

from ..unit.segmentation.automatic.tiny_images import study, write_shard

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-model.md"


def block(language: str) -> str:
    """Return the only block of code in a language in the section on automatic models."""
    text = PAGE.read_text(encoding="utf-8")
    section = re.search(r"^## An automatic segmentation model$(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    blocks = re.findall(rf"^```{language}\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    return str(blocks[0])


@pytest.fixture
def three_convolutions(add_member: Callable[..., Path]) -> None:
    """Add the module of the page to the segmentation models; nothing else changes."""
    add_member(ARCHITECTURE_MODULES, "three_convolutions", block("python"))


@pytest.fixture
def configuration(three_convolutions: None, tmp_path: Path) -> StudyConfig:
    values = {"device": "cpu", "results": str(tmp_path / "results"), **yaml.safe_load(block("yaml"))}
    return validate_settings(StudyConfig, values, "the configuration of the page")


def test_the_printed_model_and_configuration_run(
    configuration: StudyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The module of the page is in a folder of the test, where no digest of code looks for it.
    monkeypatch.setattr(training_stage, "code_digest", lambda *modules: "code")
    assert automatic_models(configuration) == ["spots"]
    assert not architecture("three_convolutions").prompted
    images = write_shard(tmp_path / "images" / "00", study(24))
    spec = model_spec(configuration, "spots")
    assert spec.weights is not None
    job = configuration.stages()["segmentation_models/spots"]
    assert isinstance(job, RecipeSettings)
    files = ([images], tmp_path / "store", 10.0, spec.weights.parent)
    train_segmenter(job, spec.architecture, None, *files, threads=1)

    settings = configuration.stages()["segmentation/spots"]
    assert isinstance(settings, AutomaticSettings)
    output = tmp_path / "segmentation" / "spots" / "00"
    segment_automatic(settings, spec, images, output, threads=1)
    maps = read_table(output / "maps.parquet", MAPS)
    scores = read_table(output / "scores.parquet", SEGMENTATION_SCORES)
    detections = read_table(output / "detections.parquet", DETECTIONS)
    assert len(maps) == 48  # every image, half of which have no lesion
    assert set(maps["model"]) == {"spots"}
    record = json.loads((spec.weights.parent / "record.json").read_text(encoding="utf-8"))
    assert maps["threshold"].unique().tolist() == [record["threshold"]]
    # Bright discs on a dark ground are learned by three convolutions.
    test = maps.loc[maps["split"] == "test", "image_id"]
    assert scores.loc[scores["image_id"].isin(test), "dice"].mean() > 0.5
    assert detections["is_mask"].sum() > 20


@pytest.mark.usefixtures("three_convolutions")
def test_mistakes_in_the_entry_stop_with_the_key() -> None:
    entry = yaml.safe_load(block("yaml"))
    entry["segmentation"]["models"]["spots"]["train"]["options"]["side_px"] = 50
    with pytest.raises(ConfigError, match=r"segmentation\.models\.spots\.train\.options\.side_px: found 50"):
        validate_settings(StudyConfig, entry, "the configuration")
    entry = yaml.safe_load(block("yaml"))
    entry["segmentation"]["models"]["spots"]["train"]["recipe"] = "tune"
    with pytest.raises(ConfigError):
        validate_settings(StudyConfig, entry, "the configuration")


def test_a_further_model_changes_no_job_of_the_others(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    models = {"mine": {"architecture": "unet_16", "train": {"recipe": "automatic"}}}
    values = {"segmentation": {"run": ["small", "mine"], "models": models}}
    study_config = validate_settings(StudyConfig, values, "the configuration")

    def digests() -> list[str]:
        modules = [segment_modules(study_config, name) for name in ("small", "mine")]
        return [code_digest(*each) for each in [*modules, training_modules(study_config, "mine")]]

    before = digests()
    request.getfixturevalue("three_convolutions")
    assert digests() == before
