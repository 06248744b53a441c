"""Commands on the weights of the promptable models."""

from __future__ import annotations

from pathlib import Path

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import (
    folder,
)


@main.group()
def weights() -> None:
    """List and fetch the weights of the promptable models."""


@weights.command("list")
def weights_list() -> None:
    """Show each model's weights file, its checksum, licence and source."""
    from mammoflow.segmentation.weights import WEIGHTS

    for name, source in WEIGHTS.items():
        origin = source.url or "inside the package"
        click.echo(f"{name}\n  {source.architecture}; {source.licence}\n  {source.file}  {source.checksum}\n  {origin}")


@weights.command("fetch")
@click.argument("name")
@click.option("--to", "target", required=True, type=folder(), help="Folder that the file goes to.")
@click.option("--url", help="Another address of the same file, such as a mirror.")
def weights_fetch(name: str, target: Path, url: str | None) -> None:
    """Fetch and check the weights of model NAME; a broken download goes on where it stopped."""
    from mammoflow.segmentation.weights import fetch_weights

    path = fetch_weights(name, target, url)
    click.echo(f"{path}\nname it in the configuration:\nsegmentation: {{weights: {{{name}: {path}}}}}")
