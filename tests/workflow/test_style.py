"""The workflow passes Snakemake's own checks, and its presets are valid configurations."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mammoflow.config.base import validate_settings
from mammoflow.config.reading import overlay
from mammoflow.config.study import StudyConfig

ROOT = Path(__file__).resolve().parents[2]
PRESETS = sorted((ROOT / "workflow" / "presets").glob("*.yaml"))


def test_lint() -> None:
    command = [sys.executable, "-m", "snakemake", "--lint"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_preset_is_a_valid_overlay(preset: Path) -> None:
    default = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    above = yaml.safe_load(preset.read_text(encoding="utf-8"))
    config = validate_settings(StudyConfig, overlay(default, above), preset.name)
    assert config.run != "phantom"
    assert config.cohort.dataset.name != "phantom"


def test_the_entry_stays_small() -> None:
    lines = (ROOT / "Snakefile").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 70
