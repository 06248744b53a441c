"""The stop of the cohort stage where the folder of a study or one of its tables is missing."""

from __future__ import annotations

from pathlib import Path

from mammoflow.config.cohort import DatasetSettings
from mammoflow.errors import StudyError


def require_study_files(dataset: DatasetSettings, study: Path) -> None:
    """Stop if the study folder or a table that the settings name is missing; cheap, reads no file.

    Raises
    ------
    StudyError
        With what was looked for.
    """
    if not study.is_dir():
        obstacle = "it is a file" if study.exists() else "there is nothing at that path"
        raise StudyError(
            f"study folder {study} is expected to be a folder, but {obstacle}; set cohort.dataset.folder to the folder "
            f"of the data set {dataset.name!r}"
        )
    for name in dataset.every_table():
        if not (study / name).is_file():
            raise StudyError(
                f"case table {study / name} does not exist; check cohort.dataset.tables and cohort.dataset.options"
            )
