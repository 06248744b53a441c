"""One file of settings as plain values."""

from __future__ import annotations

from pathlib import Path

from mammoflow.config.yaml_text import load_yaml
from mammoflow.errors import ConfigError


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
