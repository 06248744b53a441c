"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

import click

from mammoflow.errors import ConfigError

if TYPE_CHECKING:
    from mammoflow.config.members import Family

Command = TypeVar("Command", bound=Callable[..., Any])
file = partial(click.Path, path_type=Path, dir_okay=False)
folder = partial(click.Path, path_type=Path, file_okay=False)

settings_option = click.option(
    "--settings", required=True, type=file(exists=True), help="Settings file of this stage (YAML)."
)
threads_option = click.option("--threads", default=1, type=click.IntRange(min=1), help="Threads or processes to use.")


def output_file(help_text: str, columns: Iterable[str] = ()) -> Callable[[Command], Command]:
    """Return the option for a stage that writes one file; `columns` tell its tables from other tables."""

    def add(command: Command) -> Command:
        @click.option("--output", required=True, type=file(), help=help_text)
        @wraps(command)
        def guarded(output: Path, **arguments: Any) -> Any:
            from mammoflow.storage.outputs import claim_file

            claim_file(output, _stage(), columns)
            return command(output=output, **arguments)

        return cast(Command, guarded)

    return add


def output_folder(help_text: str) -> Callable[[Command], Command]:
    """Return the option for a stage that writes a folder, which is refused where it holds something else."""

    def add(command: Command) -> Command:
        @click.option("--output", required=True, type=folder(), help=help_text)
        @wraps(command)
        def guarded(output: Path, **arguments: Any) -> Any:
            from mammoflow.storage.outputs import claim_folder

            check_not_input(output, arguments)
            claim_folder(output, _stage())
            return command(output=output, **arguments)

        return cast(Command, guarded)

    return add


def _stage() -> str:
    """Return the name of the command that runs."""
    return str(click.get_current_context().info_name)


def check_not_input(output: Path, arguments: Mapping[str, Any]) -> None:
    """Refuse a folder of results that is also an input of the command.

    Raises
    ------
    ConfigError
        If it is.
    """
    from mammoflow.storage.outputs import is_same

    for name, value in arguments.items():
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, Path) and path.is_dir() and is_same(path, output):
                raise ConfigError(
                    f"--output: found {output}, which is also --{name.replace('_', '-')}; expected another folder; "
                    "nothing was changed: name a new one"
                )


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
    """Refuse a value that a setting does not allow."""
    if value not in get_args(choices):
        raise ConfigError(f"{option}: found {value!r}; expected one of {', '.join(get_args(choices))}")


def check_member(option: str, value: str, family: Family) -> None:
    """Refuse a value that names no member of a family."""
    if value not in family.names():
        raise ConfigError(f"{option}: found {value!r}; expected a {family.noun}: one of {', '.join(family.names())}")


model_name_option = click.option("--model", required=True, help="Name of the segmentation model.")
architecture_option = click.option(
    "--architecture", default="", show_default=False, help="Architecture of the model, unless it is a published one."
)
weights_option = click.option("--weights", type=file(), help="Weights of the model; not needed for `small`.")
store_option = click.option("--store", required=True, type=folder(), help="Folder of the embeddings.")
margin_option = click.option(
    "--default-margin-mm", required=True, type=float, help="Margin of the masks that features and classifiers use."
)


def encoder_options(command: Command) -> Command:
    """Add the options of a promptable model's image encoder; the command gets them as `use`, an EncoderUse."""

    @click.option(
        "--precision",
        default="auto",
        type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
        help="Number format of the encoder.",
    )
    @click.option(
        "--colour",
        default="grey",
        type=click.Choice(["grey", "rgb"]),
        help="What the encoder sees.",
    )
    @wraps(command)
    def with_use(precision: Any, colour: Any, **arguments: Any) -> Any:
        from mammoflow.config.inference import Colour, EncoderUse, Precision

        check_choice("--precision", precision, Precision)
        check_choice("--colour", colour, Colour)
        return command(use=EncoderUse(precision, colour), **arguments)

    return cast(Command, with_use)


def model_options(command: Command) -> Command:
    """Add the options that name a segmentation model; the command gets it as `model`, a ModelSpec."""

    @model_name_option
    @architecture_option
    @weights_option
    @wraps(command)
    def with_model(model: str, architecture: str, weights: Path | None, **arguments: Any) -> Any:
        from mammoflow.weights.registry import ModelSpec

        return command(model=ModelSpec(model, architecture or model, weights), **arguments)

    return cast(Command, with_model)
