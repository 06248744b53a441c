"""Reading configuration files, each of which overlays the one before."""

from __future__ import annotations

from pathlib import Path

from mammoflow.config.base import overlay, validate_settings
from mammoflow.config.mapping import read_mapping
from mammoflow.config.study import StudyConfig


def read_config(files: list[Path]) -> StudyConfig:
    """Read configuration files, each of which overlays the one before; without any, return the defaults.

    Raises
    ------
    ConfigError
        If a file is not a YAML mapping, or the resulting configuration is not valid.
    """
    values: dict[str, object] = {}
    for file in files:
        values = overlay(values, read_mapping(file))
    return validate_settings(StudyConfig, values, "the configuration")
