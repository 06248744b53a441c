"""Reading configuration files, each of which overlays the one before."""

from __future__ import annotations

from pathlib import Path

from mammoflow.config.base import overlay, validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.config.yaml_text import load_yaml
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
        values = overlay(values, read_mapping(file))
    return validate_settings(StudyConfig, values, "the configuration")


def read_mapping(file: Path) -> dict[str, object]:
    """Read one configuration file as plain values.

    Raises
    ------
    ConfigError
        If it cannot be read, is no YAML, names a key twice, or is no mapping.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 (byte {error.start}); save the configuration as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    content = load_yaml(text, str(file))
    if content is not None and not isinstance(content, dict):
        raise ConfigError(f"{file} holds {type(content).__name__}, expected a mapping of keys to values")
    return content or {}
