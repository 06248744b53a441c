"""The command that downloads CBIS-DDSM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import file, folder


@main.command()
@click.option("--settings", type=file(exists=True), help="Settings of the download (YAML); defaults if omitted.")
@click.option("--output", type=folder(), help="Folder for the study; by default the one of the settings.")
@click.option("--patient", "patients", multiple=True, help="Patient to fetch, such as P_00001; may be repeated.")
@click.option("--at-most", type=click.IntRange(min=1), help="Largest number of patients to fetch.")
@click.option(
    "--type",
    "types",
    multiple=True,
    type=click.Choice(["mass", "calcification"]),
    help="Type of abnormality; by default those of the settings.",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    type=click.Choice(["train", "test"]),
    help="Side of the split; by default those of the settings.",
)
@click.option("--dry-run", is_flag=True, help="Fetch only the case tables, and print the size of the rest.")
@click.option(
    "--verify", is_flag=True, help="Check every existing file against its checksum; fetch damaged ones again."
)
def download(
    settings: Path | None,
    output: Path | None,
    patients: tuple[str, ...],
    at_most: int | None,
    types: tuple[str, ...],
    splits: tuple[str, ...],
    dry_run: bool,
    verify: bool,
) -> None:
    """Download CBIS-DDSM or a part of it.

    An interrupted download continues where it stopped.
    """
    from mammoflow.cohort.download.stage import download_study
    from mammoflow.config.base import read_settings, validate_settings
    from mammoflow.config.download import DownloadSettings

    stage = read_settings(DownloadSettings, settings) if settings else DownloadSettings()
    given: dict[str, Any] = {"patients": list(patients), "types": list(types), "splits": list(splits)}
    changed = {name: values for name, values in given.items() if values}
    if at_most is not None:
        changed["at_most"] = at_most
    stage = validate_settings(DownloadSettings, {**stage.model_dump(), **changed}, "the options of download")
    study = output or Path(stage.folder)
    download_study(stage, study, verify, dry_run)
    click.echo(study)
