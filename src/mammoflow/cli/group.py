"""The group of all commands, and the messages and exit codes of errors."""

from __future__ import annotations

from typing import Any

import click

from mammoflow import __version__
from mammoflow.errors import ConfigError, MammoflowError


class Stages(click.Group):
    """The group of all commands: an error that a user can act on becomes one message and an exit code."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command; exit with 2 for a wrong configuration and with 1 for any other problem of the data."""
        try:
            return super().invoke(context)
        except MammoflowError as error:
            click.echo(f"mammoflow {context.invoked_subcommand}: {error}", err=True)
            context.exit(2 if isinstance(error, ConfigError) else 1)

    def list_commands(self, context: click.Context) -> list[str]:
        """List the commands in the order of the workflow."""
        return list(self.commands)


@click.group(cls=Stages, context_settings={"max_content_width": 110})
@click.version_option(__version__)
def main() -> None:
    """Turn mammograms and a case table into lesion masks, features, predictions and tables against BI-RADS.

    Each stage reads its settings file and the files of earlier stages. The workflow calls these commands, and you can
    run them by hand. Research software, not a medical device.
    """
