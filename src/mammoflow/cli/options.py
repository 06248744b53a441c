"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from mammoflow.errors import ConfigError

if TYPE_CHECKING:
    from mammoflow.config.members import Family

Command = TypeVar("Command", bound=Callable[..., Any])
file = partial(click.Path, path_type=Path, dir_okay=False)
folder = partial(click.Path, path_type=Path, file_okay=False)

settings_option = click.option(
    "--settings", required=True, type=file(exists=True), help="Settings of the stage (YAML), and of nothing else."
)
threads_option = click.option(
    "--threads", default=1, show_default=True, type=click.IntRange(min=1), help="Threads or processes to use."
)


def output_file(help_text: str) -> Callable[[Command], Command]:
    """Return the option for a stage that writes one file."""
    return click.option("--output", required=True, type=file(), help=help_text)


def output_folder(help_text: str) -> Callable[[Command], Command]:
    """Return the option for a stage that writes a folder."""
    return click.option("--output", required=True, type=folder(), help=help_text)


def input_folder(name: str, help_text: str) -> Callable[[Command], Command]:
    """Return the option for one folder that an earlier stage wrote."""
    return click.option(name, required=True, type=folder(exists=True), help=help_text)


def input_folders(name: str, help_text: str, required: bool = True) -> Callable[[Command], Command]:
    """Return the option for several folders that an earlier stage wrote; it is given once for each."""
    return click.option(name, required=required, multiple=True, type=folder(exists=True), help=help_text)


def input_files(name: str, help_text: str, required: bool = True) -> Callable[[Command], Command]:
    """Return the option for several files that an earlier stage wrote; it is given once for each."""
    return click.option(name, required=required, multiple=True, type=file(exists=True), help=help_text)


def check_choice(option: str, value: str, choices: object) -> None:
    """Refuse a value that is none of a setting's literals."""
    if value not in get_args(choices):
        raise ConfigError(f"{option}: found {value!r}; expected one of {', '.join(get_args(choices))}")


def check_member(option: str, value: str, family: Family) -> None:
    """Refuse a value that names no member of a family."""
    if value not in family.names():
        raise ConfigError(f"{option}: found {value!r}; expected a {family.noun}: one of {', '.join(family.names())}")


model_option = click.option(
    "--model", required=True, help="Promptable model: a published name, or NAME=ARCHITECTURE for weights of your own."
)
weights_option = click.option("--weights", type=file(), help="Weights of the model; `small` brings its own.")
store_option = click.option("--store", required=True, type=folder(), help="Folder of the embeddings.")
margin_option = click.option(
    "--default-margin-mm", required=True, type=float, help="Margin whose masks go on to features and classifiers."
)
precision_option = click.option(
    "--precision", default="auto", show_default=True, help="Numbers of the image encoder, as for segmentation."
)
