"""Commands on results: `compare`, `report`."""

from __future__ import annotations

from pathlib import Path

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import (
    folder,
    input_files,
    input_folder,
    input_folders,
    output_file,
    output_folder,
    settings_option,
)
from mammoflow.cli.summary import say_end


@main.command()
@settings_option
@input_folder("--cohort", "Folder of the cohort tables.")
@input_folders("--images", "Folder of a shard of images; once for each shard.")
@input_folders("--segmentation", "Folder of a model's shard; once for each model and shard, the default model first.")
@input_files("--features", "Table FAMILY/SHARD.parquet of features; once for each family and shard.", required=False)
@input_folders("--predictions", "Folder of a classifier; once for each.", required=False)
@input_files("--class-predictions", "Table of predictions of a classifier of classes; once for each.", required=False)
@input_files(
    "--prompts", "Table of lesions and boxes without a prompt; once for each shard and source.", required=False
)
@input_folders(
    "--fold", "Folder of a fold, in a run that makes every fold; once for each. Other paths are shared.", required=False
)
@input_folders("--saliency", "Folder of a classifier's saliency maps; once for each.", required=False)
@input_folders("--trained", "Folder of a segmentation model that the run trained; once for each.", required=False)
@output_folder("Folder of the tables and figures.")
def compare(
    settings: Path,
    cohort: Path,
    images: tuple[Path, ...],
    segmentation: tuple[Path, ...],
    features: tuple[Path, ...],
    predictions: tuple[Path, ...],
    class_predictions: tuple[Path, ...],
    prompts: tuple[Path, ...],
    fold: tuple[Path, ...],
    saliency: tuple[Path, ...],
    trained: tuple[Path, ...],
    output: Path,
) -> None:
    """Compare every model with BI-RADS.

    The command also compares the floors with BI-RADS. It writes tables and figures.
    """
    from mammoflow.config.base import read_settings
    from mammoflow.config.evaluation import ComparisonSettings
    from mammoflow.evaluation.stage import compare as run

    shards = (list(images), list(segmentation), list(features))
    further = (prompts, fold, saliency, class_predictions, trained)
    run(read_settings(ComparisonSettings, settings), cohort, *shards, list(predictions), output, *further)
    say_end("compare", output)


@main.command()
@settings_option
@input_folder("--cohort", "Folder of the cohort tables.")
@input_folder("--comparison", "Folder of the tables and figures.")
@input_folders("--images", "Folder of a shard of images; once for each shard.")
@input_folders("--masks", "Folder of a model's shard of masks; once for each model and shard, the default model first.")
@click.option("--audit", type=folder(exists=True), help="Folder of the audit, for a section of the page.")
@input_folders("--saliency", "Folder of a classifier's saliency maps; once for each.", required=False)
@click.option("--robustness", type=folder(exists=True), help="Folder of the robustness, for a section of the page.")
@output_file("Page to write.")
def report(
    settings: Path,
    cohort: Path,
    comparison: Path,
    images: tuple[Path, ...],
    masks: tuple[Path, ...],
    audit: Path | None,
    saliency: tuple[Path, ...],
    robustness: Path | None,
    output: Path,
) -> None:
    """Write the self-contained HTML page."""
    from mammoflow.config.base import read_settings
    from mammoflow.config.evaluation import ReportSettings
    from mammoflow.report.stage import write_report

    chosen = read_settings(ReportSettings, settings)
    write_report(chosen, cohort, comparison, list(images), list(masks), output, audit, saliency, robustness)
    say_end("report", output)
