"""Commands on several runs: `pool`, `protocols`."""

from __future__ import annotations

from pathlib import Path

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import folder, input_folders, output_folder, settings_option
from mammoflow.cli.summary import say_end


@main.command()
@settings_option
@input_folders("--run", "Folder of the finished run of one fold, such as results/fold-0; once for each fold.")
@output_folder("Folder of the pooled tables.")
def pool(settings: Path, run: tuple[Path, ...], output: Path) -> None:
    """Join the finished runs of all folds.

    Each patient is scored by the run in which the patient was in the test split.
    """
    from mammoflow.config.base import read_settings
    from mammoflow.config.evaluation import ComparisonSettings
    from mammoflow.evaluation.fold_runs import pool_folds

    pool_folds(read_settings(ComparisonSettings, settings), list(run), output)
    say_end("pool", output)


@main.command()
@click.argument("first", type=folder())
@click.argument("second", type=folder())
@output_folder("Folder of the table.")
def protocols(first: Path, second: Path, output: Path) -> None:
    """Compare the same models in two finished runs.

    One run may have a leaking split, and the other a clean one.

    FIRST and SECOND are folders of runs, such as results/published-protocol and
    results/published-six-clean. The table protocol_comparison.csv has each model under
    both protocols and the difference, FIRST minus SECOND.
    """
    from mammoflow.evaluation.protocols import compare_protocols, lines

    for line in lines(compare_protocols(first, second, output)):
        click.echo(line)
    say_end("protocols", output)
