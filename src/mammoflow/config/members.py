"""Families and their members: a family is a folder, a member is a module in it, found by its file name.

The top level of a member holds data only, such as its `Options`, and imports neither torch nor another package that
takes long to load. The configuration names members; a job's code digest covers its stage and the members that it uses.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import pkgutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails, core_schema

from mammoflow.config.base import Settings
from mammoflow.config.explanation import InvalidOptions, did_you_mean


class NoOptions(Settings):
    """Options of a member that has none."""


@dataclass(frozen=True)
class Family:
    """A folder of modules, each of which is one member.

    Attributes
    ----------
    package
        Dotted name of the folder, such as `mammoflow.features.families`.
    noun
        What a member is called in messages, such as `feature family`.
    hyphens
        Whether names have hyphens where file names have underscores.
    default_options
        Options of a member whose module has no `Options`.
    """

    package: str
    noun: str
    hyphens: bool = False
    default_options: type[Settings] = NoOptions

    def names(self) -> list[str]:
        """Return the names of all members, sorted; modules that begin with an underscore are none."""
        folders = importlib.import_module(self.package).__path__
        names = _modules_in(tuple((folder, _changed_ns(folder)) for folder in folders))
        return sorted(name.replace("_", "-") for name in names) if self.hyphens else sorted(names)

    def module(self, name: str) -> str:
        """Return the dotted name of a member's module, for its code digest."""
        return f"{self.package}.{name.replace('-', '_')}" if self.hyphens else f"{self.package}.{name}"

    def file(self, name: str) -> Path:
        """Return the source file of a member.

        Raises
        ------
        ValueError
            If there is no member of this name.
        """
        spec = importlib.util.find_spec(self.module(self.check(name)))
        if spec is None or spec.origin is None:
            raise ValueError(f"{self.noun} {name!r} has no source file; expected a module of Python source")
        return Path(spec.origin)

    def load(self, name: str) -> ModuleType:
        """Import a member.

        Raises
        ------
        ValueError
            If there is no member of this name.
        """
        return importlib.import_module(self.module(self.check(name)))

    def options(self, name: str) -> type[Settings]:
        """Return the settings model of a member's options, or the family's default where the member has none.

        Raises
        ------
        ValueError
            If there is no member of this name.
        """
        origin = self._options_origin(name)
        if origin is None:
            return self.default_options
        module, attribute = origin
        model: type[Settings] = getattr(importlib.import_module(module), attribute)
        return model

    def _options_origin(self, name: str) -> tuple[str, str] | None:
        """Return the module and the name of a member's options, read from its source; None where it has none.

        A member that takes long to load, such as a reader of tables, may import its options from a light module; the
        configuration is then read without the member.
        """
        file = self.file(name)
        status = file.stat()
        return _options_origin_in(file, self.module(name), status.st_mtime_ns, status.st_size)

    def check(self, name: str) -> str:
        """Return a name that a member has.

        Raises
        ------
        ValueError
            If there is no member of this name; the message lists the names.
        """
        if name not in self.names():
            raise ValueError(
                f"{name!r} is no {self.noun}; expected one of {', '.join(self.names())}"
                f"{did_you_mean(name, self.names())}"
            )
        return name


@cache
def _modules_in(folders: tuple[tuple[str, int], ...]) -> list[str]:
    """Return the modules of some folders, without those of an underscore, by the time that each folder last changed.

    The configuration of a study asks some thousand times.
    """
    names = [module.name for module in pkgutil.iter_modules([folder for folder, _ in folders])]
    return [name for name in names if not name.startswith("_")]


def _changed_ns(folder: str) -> int:
    """Return when a file was last added to a folder; 0 where it is no folder, such as inside an archive."""
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116  (a path object takes longer than the question)
    except OSError:
        return 0


@cache
def _options_origin_in(file: Path, module: str, _modified_ns: int, _size: int) -> tuple[str, str] | None:
    """Return the module and the name of the options in the source of a module; an unchanged file is read once."""
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            for alias in statement.names:
                if (alias.asname or alias.name) == "Options":
                    return statement.module, alias.name
        elif "Options" in _bound_names(statement):
            return module, "Options"
    return None


def _bound_names(statement: ast.stmt) -> set[str]:
    """Return the names that a class definition or an assignment gives."""
    if isinstance(statement, ast.ClassDef):
        return {statement.name}
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


@dataclass(frozen=True)
class MemberOf:
    """Mark of a settings key that names a member: `Annotated[str, MemberOf(FAMILY)]`.

    Attributes
    ----------
    family
        The family of the member.
    listed
        Whether the JSON schema lists the names. Without, a new member changes no generated file.
    """

    family: Family
    listed: bool = True

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Check the name against the members."""
        return core_schema.no_info_after_validator_function(self.family.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """List the names where they are to be listed."""
        return {**handler(schema), "enum": self.family.names()} if self.listed else handler(schema)


@dataclass(frozen=True)
class OptionsOf:
    """Mark of a settings key that holds a member's options: `Annotated[Settings, OptionsOf(FAMILY, "network")]`.

    Declare the field with `default_factory=NoOptions` and `validate_default=True`: what is left out takes the defaults
    of the member.

    Attributes
    ----------
    family
        The family of the member.
    chosen_by
        The key of the same settings that names the member. It is declared before this key.
    """

    family: Family
    chosen_by: str

    def read(self, value: object, info: ValidationInfo) -> Settings:
        """Return the options as an instance of the member's own model.

        Raises
        ------
        InvalidOptions
            If they do not fit the model.
        """
        name = info.data.get(self.chosen_by)
        if name is None:  # the name was refused, which is reported already
            return self.family.default_options()
        model = self.family.options(name)
        if isinstance(value, model):
            return value
        try:
            return model.model_validate({} if type(value) in (NoOptions, self.family.default_options) else value)
        except ValidationError as error:
            raise InvalidOptions(model, error) from error

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Read a mapping by the model of the member, and write all its keys."""
        writing = core_schema.plain_serializer_function_ser_schema(lambda options: options.model_dump(mode="json"))
        return core_schema.with_info_plain_validator_function(self.read, serialization=writing)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Say that it is a mapping; its keys depend on the member."""
        return {"type": "object"}


@dataclass(frozen=True)
class OptionsOfEach:
    """Mark of a settings key that maps members to their options: `Annotated[dict[str, Settings], OptionsOfEach(...)]`.

    Declare the field with `default_factory=dict` and `validate_default=True`: a chosen member that the mapping leaves
    out takes its defaults.

    Attributes
    ----------
    family
        The family of the members.
    chosen_by
        The key of the same settings that lists the chosen members. It is declared before this key.
    """

    family: Family
    chosen_by: str

    def read(self, value: object, info: ValidationInfo) -> dict[str, Settings]:
        """Return the options of each member by name, as instances of the members' own models.

        Raises
        ------
        ValidationError
            If a name is unknown, or options do not fit the model of their member.
        ValueError
            If the value is no mapping.
        """
        if not isinstance(value, dict):
            raise ValueError(f"expected a mapping of the names of {self.family.noun} members to their options")
        chosen: list[str] = info.data.get(self.chosen_by) or []
        options: dict[str, Settings] = {}
        problems: list[InitErrorDetails] = []
        for name in dict.fromkeys([*chosen, *value]):
            entry = value.get(name, {})
            try:
                model = self.family.options(name)
                options[name] = entry if isinstance(entry, model) else model.model_validate(entry or {})
            except ValidationError as error:
                invalid = InvalidOptions(model, error)
                problems.append({"type": "value_error", "loc": (name,), "input": name, "ctx": {"error": invalid}})
            except ValueError as error:
                problems.append({"type": "value_error", "loc": (name,), "input": name, "ctx": {"error": error}})
        if problems:
            raise ValidationError.from_exception_data(self.family.noun, problems)
        return options

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Read each entry by the model of its member, and write all keys."""
        writing = core_schema.plain_serializer_function_ser_schema(
            lambda options: {name: entry.model_dump(mode="json") for name, entry in options.items()}
        )
        return core_schema.with_info_plain_validator_function(self.read, serialization=writing)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """List the members with the keys of their options."""
        members = {name: handler(self.family.options(name).__pydantic_core_schema__) for name in self.family.names()}
        return {"type": "object", "properties": members, "additionalProperties": False}
