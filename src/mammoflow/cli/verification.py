"""The check of a results folder."""

from __future__ import annotations

from pathlib import Path

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import folder

SHOWN = 20


@main.command("verify")
@click.argument("results", type=folder())
@click.pass_context
def verify_results(context: click.Context, results: Path) -> None:
    """Compare the files of a run with its list of checksums.

    RESULTS is the folder of a run, such as results/phantom. The command
    compares the SHA-256 of each file with `sha256sums.txt`, which the
    workflow writes at the end of a run. The exit code is 1 if a file was
    changed or is missing.
    """
    from mammoflow.planning.run_records import verify

    found = verify(results)
    for words, files in (("changed", found.changed), ("missing", found.missing), ("not of the run", found.added)):
        for name in files[:SHOWN]:
            click.echo(f"{words}: {name}")
        if len(files) > SHOWN:
            click.echo(f"{words}: {len(files) - SHOWN} more")
    run = found.run
    click.echo(
        f"{results}: {found.equal} files are as the run of {run['started']} left them (revision "
        f"{str(run.get('git_revision') or 'unknown')[:12]}, {run['status']}); {len(found.changed)} changed, "
        f"{len(found.missing)} missing, {len(found.added)} added"
    )
    if not found.is_good():
        click.echo(
            "remove the folder of each stage that has such a file, and run the workflow again: it makes them anew"
        )
        context.exit(1)
