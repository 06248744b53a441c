"""The group of all commands, and the messages and exit codes of errors."""

from __future__ import annotations

import sys
import traceback
from concurrent.futures import BrokenExecutor
from typing import Any

import click

from mammoflow import __version__
from mammoflow.errors import ConfigError, MammoflowError
from mammoflow.run.console import Verbosity, set_verbosity, verbosity

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 80, "show_default": True}


def _choose(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Set how much the command says."""
    chosen: Verbosity = "verbose" if parameter.name == "verbose" else "quiet"
    if value:
        set_verbosity(chosen)


def _verbosity_options() -> list[click.Parameter]:
    """Return the options -v and -q, which every command takes."""
    common: dict[str, Any] = {"is_flag": True, "expose_value": False, "callback": _choose, "show_default": False}
    return [
        click.Option(["-v", "--verbose"], help="Print more, and show where an error arose.", **common),
        click.Option(["-q", "--quiet"], help="Print only results and errors.", **common),
    ]


class StageCommand(click.Command):
    """A command with the options -v and -q."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own options, -v and -q, and the option for help."""
        own = super().get_params(ctx)
        return [*own[:-1], *_verbosity_options(), *own[-1:]]


class Commands(click.Group):
    """A group of commands that take -v and -q."""

    command_class = StageCommand


class Stages(Commands):
    """The group of all commands: an error that a user can act on becomes one message and an exit code."""

    group_class = Commands

    def invoke(self, context: click.Context) -> Any:
        """Run a command; exit with 2 for a wrong configuration and with 1 for any other problem of the data."""
        try:
            return super().invoke(context)
        except MammoflowError as error:
            if verbosity() == "verbose":
                traceback.print_exc()
            click.echo(f"mammoflow {context.invoked_subcommand}: {error}", err=True)
            context.exit(2 if isinstance(error, ConfigError) else 1)
        except (OSError, MemoryError, RuntimeError) as error:
            message = _describe(error)
            if not message:
                raise
            if verbosity() == "verbose":
                traceback.print_exc()
            click.echo(f"mammoflow {context.invoked_subcommand}: {message}", err=True)
            context.exit(1)

    def list_commands(self, context: click.Context) -> list[str]:
        """List the commands in the order of the workflow."""
        return list(self.commands)


def _describe(error: OSError | MemoryError | RuntimeError) -> str:
    """Return the message of an error of the machine; "" for one that may be a defect of the program."""
    from mammoflow.run.memory import is_out_of_memory, no_memory
    from mammoflow.storage.write_errors import describe_os_error

    if isinstance(error, BrokenExecutor):
        return (
            "a process of this job was killed before it gave its answer; the usual cause is too little memory. Give "
            "the job more of it, or fewer threads, and run it again"
        )
    if isinstance(error, MemoryError):
        return "the memory is not enough for this work; give the job more of it, or fewer threads, and run it again"
    if isinstance(error, OSError):
        return describe_os_error(error)
    # an environment without torch raises none of its errors
    return str(no_memory("this job", error)) if "torch" in sys.modules and is_out_of_memory(error) else ""


@click.group(cls=Stages, context_settings=SETTINGS)
@click.version_option(__version__, message="mammoflow %(version)s")
def main() -> None:
    """\b
    Turn mammograms into masks, features and predictions. Not a medical device.
    It exits with 1 for a problem of the data, 2 for a wrong option or key.
    """
