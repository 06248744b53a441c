"""The documented default `config.yaml` and the JSON schema, both generated from the settings models."""

from __future__ import annotations

import inspect
import json
import textwrap
from typing import Any

import yaml
from pydantic import ValidationError

from mammoflow.config.base import Settings
from mammoflow.config.explanation import explain
from mammoflow.config.members import Family
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError

WIDTH = 110

_HEADER = """\
# yaml-language-server: $schema=workflow/schemas/config.schema.json
#
# The configuration of mammoflow, and the one file to edit. The comment above each key explains it. Each key has its
# default value; you may leave a key out. Without changes, the embedded phantom study runs.
# An overlay changes some keys and keeps the others:  snakemake --cores 2 --configfile workflow/presets/cbis-ddsm.yaml
# This file is generated from the settings models; `make generate` writes it again.
"""


def default_config() -> str:
    """Return the text of `config.yaml`: every key with its default and a comment that explains it."""
    return "\n".join([_HEADER, *_documented(StudyConfig(), 0)]).rstrip() + "\n"


def documented_options(family: Family, name: str) -> str:
    """Return the options of a member as YAML text: every key with its default and a comment that says what it is for.

    Raises
    ------
    ConfigError
        If there is no member of this name, or one of its options has no default.
    """
    try:
        options = family.options(name)()
    except ValidationError as error:
        raise ConfigError(explain(error, f"defaults of the {family.noun} {name}")) from error
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return "\n".join(_documented(options, 0)).replace("\n\n", "\n").rstrip() + "\n"


def config_schema() -> str:
    """Return the JSON schema of the configuration as text."""
    return json.dumps(StudyConfig.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def settings_text(settings: Settings) -> str:
    """Return settings as the YAML text that a stage reads, keys in the order of the model."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _documented(settings: Settings, depth: int, explained: set[type[Settings]] | None = None) -> list[str]:
    """Return the lines of one model: for each key its comment, then its value or the lines of the model inside it.

    Inside a mapping of settings `explained` holds the models whose keys have their comments above; they get none again.
    """
    indent = "  " * depth
    is_explained = explained is not None and type(settings) in explained
    lines: list[str] = []
    for name, field in type(settings).model_fields.items():
        value, name = getattr(settings, name), field.alias or name
        bounds = _bounds(field.metadata)
        comment = f"{field.description}{f' ({bounds})' if bounds else ''}"
        lines += [] if is_explained else _comment(comment, indent)
        if isinstance(value, Settings):
            lines += [*_block(name, _documented(value, depth + 1, explained), indent), *([""] if depth == 0 else [])]
        elif isinstance(value, dict) and any(isinstance(entry, Settings) for entry in value.values()):
            lines += [f"{indent}{name}:"]
            above: set[type[Settings]] = set()
            for key, entry in value.items():
                lines += [] if type(entry) in above else _comment(inspect.getdoc(type(entry)) or "", f"{indent}  ")
                lines += _block(key, _documented(entry, depth + 2, above), f"{indent}  ")
            lines += [""] if depth == 0 else []
        else:
            lines += [f"{indent}{name}: {_value_text(value)}", *([""] if depth == 0 else [])]
    if explained is not None:
        explained.add(type(settings))
    return lines


def _comment(text: str, indent: str) -> list[str]:
    """Return the lines of a comment; of several paragraphs only the first."""
    marked = f"{indent}# "
    return textwrap.wrap(text.partition("\n\n")[0], WIDTH, initial_indent=marked, subsequent_indent=marked)


def _block(name: str, lines: list[str], indent: str) -> list[str]:
    """Return the lines of a mapping under its name; an empty mapping takes one line."""
    return [f"{indent}{name}:", *lines] if lines else [f"{indent}{name}: {{}}"]


def _value_text(value: object) -> str:
    """Return one value as YAML on one line; the lists of this configuration are short."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).strip()
    return text.removesuffix("...").strip()


def _bounds(metadata: list[Any]) -> str:
    """Return the bounds of a number in words, from the constraints of its field."""
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    bounds = [
        f"{word} {bound}" if isinstance(bound, int) else f"{word} {bound:g}"
        for constraint in metadata
        for name, word in words.items()
        if (bound := getattr(constraint, name, None)) is not None
    ]
    return ", ".join(bounds)
