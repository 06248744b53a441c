"""Command on DICOM objects: `dicom`."""

from __future__ import annotations

from pathlib import Path

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import folder, input_folder, output_folder, settings_option
from mammoflow.errors import ConfigError


@main.command()
@settings_option
@input_folder("--study", "Folder of the study.")
@input_folder("--images", "Folder of one shard of images.")
@input_folder("--masks", "Folder of the shard's masks.")
@click.option(
    "--classifier", type=folder(exists=True), help="Folder of the classifier whose probabilities are written."
)
@click.option(
    "--lesions",
    default="all",
    show_default=True,
    type=click.Choice(["all", "test"]),
    help="Splits whose lesions are written.",
)
@output_folder("Folder of the DICOM objects.")
def dicom(
    settings: Path, study: Path, images: Path, masks: Path, classifier: Path | None, lesions: str, output: Path
) -> None:
    """Write DICOM objects for the lesions of a shard.

    The objects are Segmentations and Structured Reports.
    """
    from mammoflow.config.base import read_settings
    from mammoflow.config.dicom import DicomSettings
    from mammoflow.dicom_output.stage import DicomInputs, write_dicom_objects

    wanted = read_settings(DicomSettings, settings).classifier
    if (classifier.name if classifier else "") != wanted:
        raise ConfigError(
            f"--classifier is {classifier}; expected the folder of {wanted or 'none'}, as the settings say"
        )
    write_dicom_objects(DicomInputs(study, images, masks, classifier), output, only_test=lesions == "test")
