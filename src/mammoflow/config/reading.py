"""From configuration files to a checked configuration, before any job: keys and types first, then files on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError


def overlay(values: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Lay one mapping over another: mappings merge key by key, lists and everything else are replaced.

    This is what Snakemake does with several `--configfile`.
    """
    merged = dict(values)
    for key, value in above.items():
        below = merged.get(key)
        merged[key] = (
            overlay(below if isinstance(below, Mapping) else {}, value) if isinstance(value, Mapping) else value
        )
    return merged


def read_config(files: list[Path]) -> StudyConfig:
    """Read configuration files, each laid over the one before; without any, the defaults.

    Raises
    ------
    ConfigError
        If a file is not a YAML mapping, or the configuration that they give is not valid.
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


def check_files(config: StudyConfig) -> None:
    """Check that the study, its tables and all weights files are there.

    Raises
    ------
    ConfigError
        If one is not; the message names the key, the path, and what to do.
    """
    dataset = config.cohort.dataset
    if dataset.reader != "phantom":
        folder = Path(dataset.folder)
        if not dataset.folder or not folder.is_dir():
            raise ConfigError(
                f"cohort.dataset.folder: found {dataset.folder!r}, which is no folder; expected the folder of the "
                f"study; correct the path, or set cohort.dataset.reader to phantom for the embedded study"
            )
        for table in dataset.tables:
            if not (folder / table).is_file():
                raise ConfigError(
                    f"cohort.dataset.tables: found {table!r}, which does not exist in {folder}; expected a case table, "
                    "relative to cohort.dataset.folder; correct the name"
                )
    weights = config.classification.efficientnet.weights
    if weights and not Path(weights).is_file():
        raise ConfigError(
            f"classification.efficientnet.weights: found {weights!r}, which does not exist; expected a weights file of "
            "EfficientNet-B0; correct the path, or leave it empty to start from random weights"
        )
