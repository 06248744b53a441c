"""Reading configuration files, each of which overlays the one before."""

from __future__ import annotations

from pathlib import Path

import yaml

from mammoflow.config.base import overlay, validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError


def read_config(files: list[Path]) -> StudyConfig:
    """Read configuration files, each of which overlays the one before; without any, return the defaults.

    Raises
    ------
    ConfigError
        If a file is not a YAML mapping, or the resulting configuration is not valid.
    """
    values: dict[str, object] = {}
    for file in files:
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise ConfigError(f"{file} cannot be read as YAML: {error}") from error
        if content is not None and not isinstance(content, dict):
            raise ConfigError(f"{file} holds {type(content).__name__}, expected a mapping of keys to values")
        values = overlay(values, content or {})
    return validate_settings(StudyConfig, values, "the configuration")
