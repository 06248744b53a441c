"""Commands on the weights of networks."""

from __future__ import annotations

from pathlib import Path

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import file, output_file, settings_option


@main.group()
def weights() -> None:
    """List, fetch and check the weights of networks."""


@weights.command("list")
def weights_list() -> None:
    """Show each published weights file, its checksum, licence and source."""
    from mammoflow.weights.published import published_sources

    for name, source in published_sources().items():
        checksum = source.checksum or ("recorded when it is first fetched" if source.url else "")
        click.echo(f"{name}\n  {source.title}; {source.licence}\n  {source.file}  {checksum}\n  {source.origin}")


@weights.command("fetch")
@click.argument("name")
@click.option("--to", "target", required=True, type=click.Path(path_type=Path), help="Folder or file to fetch to.")
@click.option("--url", help="Another address of the same file, such as a mirror.")
def weights_fetch(name: str, target: Path, url: str | None) -> None:
    """Fetch and check the published weights NAME; a broken download continues where it stopped."""
    from mammoflow.weights.fetch import fetch_weights
    from mammoflow.weights.published import segmentation_sources, weights_source

    path = fetch_weights(name, target, url)
    if not weights_source(name).url:
        click.echo(f"{path}\nan installed package brings it; there is nothing to fetch")
        return
    entry = f"segmentation: {{models: {{{name}: {{weights: {path}}}}}}}"
    if name not in segmentation_sources():
        entry = f"classification: {{classifiers: {{NAME: {{network: {name}, weights: {path}}}}}}}"
    click.echo(f"{path}\nname it in the configuration:\n{entry}")


@main.command(hidden=True)  # the workflow calls it
@settings_option
@output_file("Record of the fetched weights (JSON).")
def prefetch(settings: Path, output: Path) -> None:
    """Fetch the published weights of a configuration.

    Call it on a machine with a network, before a run on nodes without one.
    The command checks each file.
    """
    from mammoflow.config.base import read_settings
    from mammoflow.config.download import PrefetchJob
    from mammoflow.weights.fetch import prefetch as run

    run(read_settings(PrefetchJob, settings), output)


@weights.command("check")
@click.argument("path", type=file(exists=True))
def weights_check(path: Path) -> None:
    """Read a weights file without executing anything in it, and say what it is."""
    from mammoflow.weights.published import describe_weights

    click.echo(describe_weights(path))
