"""The base of all settings: strict models, the choice of a device, and reading a settings file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mammoflow.config.explanation import explain
from mammoflow.config.yaml_text import load_yaml
from mammoflow.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]

Seed = Annotated[int, Field(ge=0, le=2**31)]
"""A seed that PyTorch, pandas and the tables of predictions take."""


class Settings(BaseModel):
    """Base of every settings model: unknown keys and wrong types are errors, and values do not change."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class StageSettings(Settings):
    """Base of the settings of a stage that can compute on a GPU."""

    device: Device = Field(
        "auto", description="Device of this stage: auto uses a GPU if there is one; cpu and cuda force one of them."
    )


class SeededSettings(StageSettings):
    """Base of the settings of a stage that uses random numbers."""

    seed: Seed = Field(0, description="Seed of all random numbers of this stage.")


Model = TypeVar("Model", bound=Settings)


def overlay(values: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Lay one mapping over another: mappings merge key by key, lists and everything else are replaced.

    This is what Snakemake does with several `--configfile`.
    """
    merged = dict(values)
    for key, value in above.items():
        if not isinstance(value, Mapping):
            merged[key] = value
        elif isinstance(below := merged.get(key, {}), Mapping):
            merged[key] = overlay(below, value)
        elif value:
            merged[key] = overlay({}, value)
    return merged


def validate_settings(model: type[Model], values: object, origin: str) -> Model:
    """Validate plain values against a settings model.

    Raises
    ------
    ConfigError
        If a key is unknown, a type is wrong or a value is out of bounds; the message names each key.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(error, origin, model)) from error


def read_settings(model: type[Model], path: Path) -> Model:
    """Read the YAML settings file of a stage.

    Raises
    ------
    ConfigError
        If the file is missing, is no YAML mapping, or does not fit the model.
    """
    if not path.is_file():
        raise ConfigError(f"settings file {path} does not exist; expected a YAML file that the workflow writes")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings file {path} cannot be read ({error}); remove it, and run the workflow") from error
    values = load_yaml(text, f"settings file {path}")
    return validate_settings(model, values if values is not None else {}, f"settings file {path}")
