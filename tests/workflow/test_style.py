"""The workflow passes Snakemake's own checks, and its presets are valid configurations."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from mammoflow.config.base import validate_settings
from mammoflow.config.reading import read_config
from mammoflow.config.study import StudyConfig

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.long(8)

ROOT = Path(__file__).resolve().parents[2]
PRESETS = sorted((ROOT / "workflow" / "presets").glob("*.yaml"))


def test_lint(project: Project) -> None:
    assert "in a good condition" in project.snakemake("--lint")


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_preset_is_valid_with_the_command_that_its_comment_gives(preset: Path) -> None:
    commands = re.findall(r"--configfile((?: +workflow/presets/\S+)+)", preset.read_text(encoding="utf-8"))
    names = next(command.split() for command in commands if preset.name in command)
    default = validate_settings(StudyConfig, {}, "the defaults")
    config = read_config([ROOT / "config.yaml", *(ROOT / name for name in names)])
    assert config.run != default.run
    assert config != default.model_copy(update={"run": config.run})


def test_a_command_that_names_the_run_gives_it_a_name_of_its_own() -> None:
    pages = [*PRESETS, *sorted((ROOT / "docs").rglob("*.md"))]
    command = re.compile(r"--configfile(?: +workflow/presets/\S+)+[\s#\\]+--config run=(\S+)")
    named = {page.name: command.findall(page.read_text(encoding="utf-8")) for page in pages}
    assert {page for page, names in named.items() if names} >= {"ablation.yaml", "few-labels.md", "unet.yaml"}
    taken = {yaml.safe_load(preset.read_text(encoding="utf-8")).get("run") for preset in PRESETS}
    clashes = {page: names for page, names in named.items() if taken.intersection(names)}
    assert not clashes, "the results of two studies would be in one folder"


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_command_over_several_lines_can_be_pasted(preset: Path) -> None:
    lines = preset.read_text(encoding="utf-8").splitlines()
    continued = [before for before, line in pairwise(lines) if re.match(r"# +--?\w", line)]
    assert all(before.endswith("\\") for before in continued), continued


def test_the_entry_stays_small() -> None:
    lines = (ROOT / "Snakefile").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 50
