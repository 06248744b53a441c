"""Command on DICOM objects: `dicom`."""

from __future__ import annotations

from pathlib import Path

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import folder, input_folder, output_folder


@main.command()
@input_folder("--study", "Folder of the study.")
@input_folder("--images", "Folder of one shard of images.")
@input_folder("--masks", "Folder of the shard's masks.")
@click.option(
    "--classifier", type=folder(exists=True), help="Folder of the classifier whose probabilities are written."
)
@click.option("--only-test", is_flag=True, help="Leave out lesions that are not in the test split.")
@output_folder("Folder of the DICOM objects.")
def dicom(study: Path, images: Path, masks: Path, classifier: Path | None, only_test: bool, output: Path) -> None:
    """Write DICOM Segmentations and Structured Reports for the lesions of a shard."""
    from mammoflow.dicom_output.stage import DicomInputs, write_dicom_objects

    write_dicom_objects(DicomInputs(study, images, masks, classifier), output, only_test)
