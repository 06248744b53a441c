"""Validation errors as a person needs them: the key, the value found, the value expected, and a likely spelling."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from mammoflow.config.yaml_text import text_hint

Location = tuple[int | str, ...]
LONGEST_FOUND = 120
"""Characters of a found value that a message repeats."""


class InvalidOptions(ValueError):
    """Options that do not fit the settings model of their member.

    Parameters
    ----------
    model
        The settings model.
    error
        What is wrong with them.
    """

    def __init__(self, model: type[BaseModel], error: ValidationError) -> None:
        super().__init__(str(error))
        self.model = model
        self.error = error


def explain(error: ValidationError, origin: str, model: type[BaseModel] | None = None) -> str:
    """Turn a validation error into one line for each problem: key, value found, value expected.

    Parameters
    ----------
    error
        The error.
    origin
        What was validated, such as the path of a file.
    model
        The settings model; with it, a misspelt key is answered with the likely one.
    """
    return f"{origin} is not valid:\n" + "\n".join(_problems(error, (), model))


def did_you_mean(found: object, known: Iterable[str]) -> str:
    """Return a question that names the most similar known word, such as "; did you mean 'epochs'?", or ""."""
    if not isinstance(found, str):
        return ""
    words = list(known)
    lower = {word.lower(): word for word in reversed(words)}
    close = difflib.get_close_matches(found.lower(), lower, n=1, cutoff=0.7)
    return f"; did you mean {lower[close[0]]!r}?" if close else ""


def _problems(error: ValidationError, above: Location, model: type[BaseModel] | None) -> list[str]:
    """Return one line for each problem, also for problems inside the options of a member."""
    lines: list[str] = []
    for problem in error.errors():
        inside: Location = problem["loc"]
        location = (*above, *inside)
        key = "".join(f"{part}." for part in location)[:-1]
        at_key = f"{key}: " if key else ""  # what several sections contradict names its keys itself
        cause = problem.get("ctx", {}).get("error")
        found = problem["input"]
        if isinstance(cause, InvalidOptions):
            lines += _problems(cause.error, location, cause.model)
        elif isinstance(cause, ValidationError):
            lines += _problems(cause, location, None)
        elif problem["type"] == "extra_forbidden":
            hint = did_you_mean(inside[-1], known_keys(model, inside[:-1])) or "; look for a typo, or remove it"
            lines.append(f"  {key}: unknown key{hint}")
        elif problem["type"] == "missing":
            lines.append(f"  {key}: found nothing; expected a value; add the key")
        elif cause is not None:
            lines.append(f"  {at_key}{_of_cause(found, str(cause))}")
        else:
            lines.append(f"  {at_key}found {_short(found)}; expected: {problem['msg']}{_hint(problem)}")
    return lines


def _of_cause(found: object, message: str) -> str:
    """Return the message of one of the project's own checks, with the value where it is short and not in it yet."""
    if isinstance(found, Mapping | BaseModel) or repr(found) in message:
        return message
    return f"found {_short(found)}; {message if 'expected' in message else f'expected {message}'}"


def _short(value: object) -> str:
    """Return a value as text that fits a line; a mapping or a long value is shortened."""
    text = repr(value)
    return text if len(text) <= LONGEST_FOUND else f"{text[:LONGEST_FOUND]} …"


def _hint(problem: Mapping[str, Any]) -> str:
    """Return what else helps with a problem: how YAML read a number, or the likely choice."""
    if problem["type"] == "float_type":
        return _number_hint(problem["input"])
    if problem["type"] == "string_type":
        return text_hint(problem["input"])
    if problem["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", str(problem.get("ctx", {}).get("expected", "")))
        return did_you_mean(problem["input"], choices)
    return ""


def _number_hint(value: object) -> str:
    """Explain that YAML reads `1e-4` as text, because it has no decimal point."""
    match = re.fullmatch(r"([+-]?\d+)([eE][+-]?\d+)", value) if isinstance(value, str) else None
    return f"; to YAML this is text, write {match[1]}.0{match[2]}" if match else ""


def known_keys(model: type[BaseModel] | None, location: Location) -> list[str]:
    """Return the keys that settings have at a location, where the types tell; else none.

    Parameters
    ----------
    model
        The settings model at the top.
    location
        Keys and indices from the top.
    """
    current: Any = model
    for part in location:
        current = _below(current, part)
    current = _model_in(current)
    return [field.alias or name for name, field in current.model_fields.items()] if current is not None else []


def _below(annotation: Any, part: int | str) -> Any:
    """Return the type of what is under a key or an index."""
    model = _model_in(annotation)
    if model is not None:
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        return fields[part].annotation if part in fields else None
    for inner in _alternatives(annotation):
        if get_origin(inner) in (list, tuple, dict):
            return get_args(inner)[-1]
    return None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the settings model among the alternatives of a type."""
    models = (inner for inner in _alternatives(annotation) if isinstance(inner, type) and issubclass(inner, BaseModel))
    return next(models, None)


def _alternatives(annotation: Any) -> list[Any]:
    """Return the alternatives of a union, without annotations."""
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [inner for alternative in get_args(annotation) for inner in _alternatives(alternative)]
    return [annotation]
