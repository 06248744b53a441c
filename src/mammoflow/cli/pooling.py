"""Commands on several runs: `pool`."""

from __future__ import annotations

from pathlib import Path

from mammoflow.cli.group import main
from mammoflow.cli.options import input_folders, output_folder, settings_option
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
