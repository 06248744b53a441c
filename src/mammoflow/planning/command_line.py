"""What the rules ask about the command line of Snakemake, which says less than its options do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from mammoflow.config.base import overlay
from mammoflow.errors import ConfigError

# A dry run is asked for by its long names, by their beginnings, or by a letter among other letters without a value.
_DRY_RUN = re.compile(r"--dry(-?r(un?)?)?|-[pqkFl]*n[npqkFl]*([cj]\w*)?")
_CONFIG = ("--config", "-C")


def is_dry_run(arguments: Iterable[str]) -> bool:
    """Tell whether a command line of Snakemake asks for a dry run."""
    return any(_DRY_RUN.fullmatch(argument) for argument in arguments)


def with_command_line(values: Mapping[str, object], arguments: Sequence[str]) -> Mapping[str, object]:
    """Return configuration values in which mappings and lists from `--config` have their YAML types.

    Snakemake reads the inside of `--config 'cohort={shards: 4}'` as text.

    Parameters
    ----------
    values
        The configuration as Snakemake merged it.
    arguments
        The command line of Snakemake.

    Raises
    ------
    ConfigError
        If a value that looks like a mapping or a list is not YAML.
    """
    for entry in _config_entries(arguments):
        key, _, text = entry.partition("=")
        if text.lstrip().startswith(("{", "[")):
            try:
                value = yaml.safe_load(text)
            except yaml.YAMLError:
                raise ConfigError(
                    f"--config {key}: found {text!r}, which is not YAML; expected such as 'cohort={{shards: 4}}', in "
                    "quotes and with a blank after each colon"
                ) from None
            values = overlay(values, {key: value})
    return values


def _config_entries(arguments: Sequence[str]) -> list[str]:
    """Return the entries KEY=VALUE of every option `--config`."""
    entries: list[str] = []
    inside = False
    for argument in arguments:
        name, equals, first = argument.partition("=")
        if name in _CONFIG:
            inside = True
            entries += [first] if equals else []
        elif argument.startswith("-"):
            inside = False
        elif inside:
            entries.append(argument)
    return entries


def check_project_folder(root: Path) -> None:
    """Refuse a folder of the project whose name the workflow cannot pass on.

    Raises
    ------
    ConfigError
        If its path has braces, which Snakemake reads as wildcards, a colon, which divides the folders of PYTHONPATH, or
        control characters.
    """
    found = str(root)
    if re.search(r"[{}:\x00-\x1f\x7f]", found):
        raise ConfigError(
            f"the project lies in the folder {found!r}; expected a path without braces, colons and line breaks, which "
            "Snakemake and Python read in their own way; rename or move the folder"
        )


def check_profile(arguments: Sequence[str], root: Path) -> None:
    """Refuse a workflow profile that does not exist, which Snakemake ignores: all jobs would run on this machine.

    Parameters
    ----------
    arguments
        The command line of Snakemake.
    root
        The folder of the project. Snakemake looks in the current folder and in `profiles` of both.

    Raises
    ------
    ConfigError
        If nothing has the name that follows `--workflow-profile`.
    """
    for place, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option != "--workflow-profile":
            continue
        name = value if equals else "".join(arguments[place + 1 : place + 2])
        profile = Path(name)
        places = (profile, Path("profiles") / profile, root / "profiles" / profile)
        if name == "none" or any(path.exists() for path in places):
            continue
        others = sorted(path.parent.name for path in (root / "profiles").glob("*/*.yaml"))
        raise ConfigError(
            f"--workflow-profile: found {name!r}, which does not exist; expected one of "
            f"{', '.join(f'profiles/{other}' for other in others)}, or another folder with a profile.yaml. Snakemake "
            "would ignore the name and run every job on this machine"
        )


def asked_for(files: list[str], target: str, key: str, remedy: str) -> list[str]:
    """Return the files of a target, and refuse a target that has none.

    Parameters
    ----------
    files
        Its files.
    target
        Its name.
    key
        The key of the configuration that is empty.
    remedy
        What to set it to.

    Raises
    ------
    ConfigError
        If there are no files.
    """
    if not files:
        raise ConfigError(f"the target {target} has nothing to make: found nothing in {key}; {remedy}")
    return files
