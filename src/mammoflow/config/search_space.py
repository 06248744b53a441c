"""What every search says: its space, how trials are proposed, and the settings at a point of the space."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from math import prod
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails

from mammoflow.config.base import Model, Seed, Settings, overlay
from mammoflow.config.explanation import InvalidOptions
from mammoflow.config.members import OptionsOf


class Range(Settings):
    """A range of numbers: of whole numbers where the key takes these and both ends are whole, else of any."""

    low: int | float = Field(description="Lowest value.")
    high: int | float = Field(description="Highest value.")
    log: bool = Field(False, description="Whether values are drawn evenly on a logarithmic scale.")

    @model_validator(mode="after")
    def check_ends(self) -> Self:
        """Refuse an empty range, and a logarithm of what is not positive."""
        if not self.low < self.high:
            raise ValueError(f"low is {self.low:g} and high is {self.high:g}; expected low below high")
        if self.log and self.low <= 0:
            raise ValueError(f"log is true and low is {self.low:g}; expected low above 0, or log: false")
        return self


class SpaceSettings(Settings):
    """The space of a search, and how trials are proposed and valued within the training patients."""

    space: dict[str, Range | list[Any]] = Field(
        min_length=1,
        description="What is searched: a key of the classifier's settings, or of the model's train.options, with "
        "points for nested keys (input_options.size_mm), and its range {low, high, log} or the list of its values.",
    )
    sampler: Literal["tpe", "grid", "random"] = Field(
        "tpe",
        description="How trials are proposed. tpe models which values did well (Bayesian), random draws values, grid "
        "tries every combination of lists in order.",
    )
    trials: int = Field(20, ge=1, description="Number of trials; for a grid at least its number of combinations.")
    inner_folds: int = Field(
        3, ge=2, description="Folds of the training patients; a trial's value is the mean over those that are held out."
    )
    seed: Seed = Field(0, description="Seed of the inner folds, of the proposals, and of every training.")
    epochs: int | None = Field(
        None, ge=1, description="Epochs of the trainings of the search; null uses those of the classifier or model."
    )
    pruner: Literal["none", "median"] = Field(
        "none",
        description="Whether a trial ends early if its mean over its first inner folds is below the median of earlier "
        "trials.",
    )

    @field_validator("space")
    @classmethod
    def check_lists(cls, space: dict[str, Range | list[Any]]) -> dict[str, Range | list[Any]]:
        """Refuse lists that are no list of values."""
        for key, values in space.items():
            if isinstance(values, list):
                texts = [json.dumps(value) for value in values]
                if not texts or len(set(texts)) < len(texts) or any(isinstance(value, dict) for value in values):
                    raise ValueError(f"space.{key} is {values}; expected different values, at least one, no mapping")
        return space

    @model_validator(mode="after")
    def check_trials(self) -> Self:
        """Refuse a grid with ranges, a grid that has more points than there are trials, and epochs said twice."""
        if self.sampler == "grid":
            ranges = [key for key, values in self.space.items() if isinstance(values, Range)]
            if ranges:
                raise ValueError(f"sampler is grid and space.{ranges[0]} is a range; expected a list of values")
            if self.points > self.trials:
                raise ValueError(
                    f"the grid has {self.points} points and trials is {self.trials}; expected at least as many trials. "
                    "Raise trials, or shorten the lists"
                )
        if self.epochs is not None and "epochs" in self.space:
            raise ValueError(f"epochs is {self.epochs} and space names epochs; expected one of them, or epochs: null")
        return self

    @property
    def points(self) -> int:
        """Number of combinations of the lists."""
        return prod(len(values) for values in self.space.values() if isinstance(values, list))

    @property
    def planned_trials(self) -> int:
        """Trials that the search makes."""
        return self.points if self.sampler == "grid" else self.trials


def with_values(settings: Model, values: Mapping[str, object]) -> Model:
    """Return settings with other values of some keys.

    Where another member is chosen, such as another loss, its options take their defaults.

    Parameters
    ----------
    settings
        The settings.
    values
        Values by key, with points for keys inside others.

    Raises
    ------
    ValidationError
        If a key does not exist, or a value is out of bounds.
    """
    plain: dict[str, object] = settings.model_dump()
    for options, chosen_by in dependent_options(type(settings)).items():
        if values.get(chosen_by, plain[chosen_by]) != plain[chosen_by]:
            del plain[options]
    for key, value in values.items():
        nested: object = value
        for part in reversed(key.split(".")):
            nested = {part: nested}
        plain = overlay(plain, nested if isinstance(nested, Mapping) else {})
    return type(settings).model_validate(plain)


def dependent_options(model: type[Settings]) -> dict[str, str]:
    """Return the keys of settings that hold the options of a member, each with the key that names the member."""
    return {
        name: mark.chosen_by
        for name, field in model.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, OptionsOf)
    }


def refuse_keys(search: SpaceSettings, refused: Sequence[str], why: str, remedy: str = "") -> None:
    """Refuse a space with one of some keys, or with a key inside one of them.

    Parameters
    ----------
    search
        The search.
    refused
        The keys.
    why
        What is wrong with them, after "which".
    remedy
        A sentence that says what to do.

    Raises
    ------
    ValueError
        Naming the key.
    """
    for key in search.space:
        if any(key == each or key.startswith(f"{each}.") for each in refused):
            further = f". {remedy}" if remedy else ""
            raise ValueError(f"space names {key}, {why}; expected none of {', '.join(refused)}{further}")


def is_whole(space: Range, present: object) -> bool:
    """Tell whether a range is one of whole numbers, where the key has a present value."""
    return isinstance(space.low, int) and isinstance(space.high, int) and not isinstance(present, float)


def present_value(settings: Settings, key: str) -> object:
    """Return the value that settings have at a key with points; None where there is none."""
    value: object = settings.model_dump()
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def candidates(search: SpaceSettings, settings: Model) -> Iterator[Model]:
    """Yield the settings at points of the space that together show every value of a list and both ends of a range.

    The first point has the first value of each key, another one the largest number of each key, so that one of them
    needs the most memory. From both of them each key takes each of its values, and from the first one so does each pair
    of keys of one mapping, because settings are checked against others of their mapping.

    Raises
    ------
    ValidationError
        If the settings refuse a point.
    """
    values = {
        key: [space.low, space.high] if isinstance(space, Range) else space for key, space in search.space.items()
    }
    epochs: dict[str, Any] = {} if search.epochs is None else {"epochs": search.epochs}
    first = {**epochs, **{key: among[0] for key, among in values.items()}}
    largest = {**epochs, **{key: _largest(among) for key, among in values.items()}}
    points = [first, largest]
    for key, among in values.items():
        points += [{**first, key: value} for value in among] + [{**largest, key: value} for value in among]
    together: dict[str, list[str]] = defaultdict(list)
    for key in values:
        together[key.rpartition(".")[0]].append(key)
    for keys in together.values():
        for one, other in combinations(keys, 2):
            points += [{**first, one: value, other: further} for value in values[one] for further in values[other]]
    for text in dict.fromkeys(json.dumps(point) for point in points):
        yield with_values(settings, json.loads(text))


def _largest(values: list[Any]) -> Any:
    """Return the largest of some numbers, or the last value where not all are numbers."""
    return max(values) if all(isinstance(value, int | float) for value in values) else values[-1]


def _with_inner_value(space: Range | list[Any], present: object) -> list[Any]:
    """Return the values of a list; of a range both ends and a value between them."""
    if isinstance(space, list):
        return space
    inner = space.low + 1 if is_whole(space, present) else (space.low + space.high) / 2
    return list(dict.fromkeys([space.low, inner, space.high]))


def check_points(
    name: str, search: SpaceSettings, settings: Model, fits: Callable[[Model], None] | None = None
) -> None:
    """Refuse a space that the settings refuse, such as a range of a key that takes multiples of a number alone.

    Parameters
    ----------
    name
        Name of the search.
    search
        The search.
    settings
        The settings that are searched.
    fits
        Raises ValueError where the settings of a point do not fit the rest of the configuration.

    Raises
    ------
    ValueError
        If `fits` refuses a point.
    ValidationError
        If the settings refuse a point; the key is below `searches.<name>.space`.
    """
    try:
        inside = {key: _with_inner_value(space, present_value(settings, key)) for key, space in search.space.items()}
        for point in candidates(search.model_copy(update={"space": inside}), settings):
            if fits is not None:
                fits(point)
    except ValidationError as error:
        place: InitErrorDetails = {
            "type": "value_error",
            "loc": ("searches", name, "space"),
            "input": name,
            "ctx": {"error": InvalidOptions(type(settings), error)},
        }
        raise ValidationError.from_exception_data("searches", [place]) from error
    except ValueError as error:
        raise ValueError(f"searches.{name}.space: {error}") from error
