"""Commands from the study to its images: `phantom`, `cohort`, `images`, `fold`."""

from __future__ import annotations

from pathlib import Path

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import (
    folder,
    input_folder,
    input_folders,
    output_folder,
    settings_option,
    threads_option,
)
from mammoflow.cli.summary import say_end


@main.command()
@settings_option
@click.option("--output", required=True, type=folder(), help="Folder of the study to write.")
@threads_option
def phantom(settings: Path, output: Path, threads: int) -> None:
    """Write the embedded phantom study.

    Its layout is that of a CBIS-DDSM download.
    """
    from mammoflow.cohort.phantom.stage import write_phantom_study
    from mammoflow.config.base import read_settings
    from mammoflow.config.phantom import PhantomSettings

    write_phantom_study(read_settings(PhantomSettings, settings), output, threads)
    say_end("phantom", output)


@main.command()
@settings_option
@input_folder("--study", "Folder of the study.")
@click.option(
    "--validation-classes",
    default=0,
    type=click.IntRange(0, 2),
    help="Classes that classifiers need in validation; 0 where none is trained.",
)
@click.option(
    "--class-sides",
    default=0,
    type=click.IntRange(0, 2),
    help="Sides on which classifiers of classes need every class; 0 where none is trained.",
)
@output_folder("Folder of the cohort tables.")
def cohort(settings: Path, study: Path, validation_classes: int, class_sides: int, output: Path) -> None:
    """Read the case tables of a study and split its patients.

    Rows that cannot be used are left out with a reason, and patients are divided into shards.
    """
    from mammoflow.cohort.stage import build_cohort
    from mammoflow.config.base import read_settings
    from mammoflow.config.cohort import CohortSettings

    build_cohort(read_settings(CohortSettings, settings), study, output, validation_classes, class_sides)
    say_end("cohort", output)


@main.command()
@settings_option
@input_folder("--study", "Folder of the study.")
@input_folder("--cohort-shard", "Folder of one shard of the cohort.")
@output_folder("Folder of the shard's images.")
@threads_option
def images(settings: Path, study: Path, cohort_shard: Path, output: Path, threads: int) -> None:
    """Make canonical images from the films of a shard.

    This command also makes breast regions and lesion patches.
    """
    from mammoflow.config.base import read_settings
    from mammoflow.config.images import ImagesSettings
    from mammoflow.imaging.stage import prepare_images

    prepare_images(read_settings(ImagesSettings, settings), study, cohort_shard, output, threads)


@main.command(hidden=True)  # the workflow calls it
@click.option("--number", required=True, type=click.IntRange(min=0), help="Number of the fold, from 0.")
@input_folder("--cohort", "Folder of the cohort tables.")
@input_folders("--images", "Folder of a shard of images; once for each shard.")
@output_folder("Folder of the fold.")
def fold(number: int, cohort: Path, images: tuple[Path, ...], output: Path) -> None:
    """Write the tables of one fold.

    The tables are those of cohort and images, with the split of the fold.
    """
    from mammoflow.cohort.folds import write_fold

    write_fold(number, cohort, images, output)
    say_end("fold", output)
