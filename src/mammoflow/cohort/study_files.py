"""The stop of the cohort stage where the folder of a study or a table is missing, or a folder is named twice."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from mammoflow.config.cohort import DatasetSettings
from mammoflow.errors import StudyError
from mammoflow.formats.opening import cannot_open
from mammoflow.storage.outputs import is_same


def require_study_files(dataset: DatasetSettings, study: Path) -> None:
    """Stop if the study folder or a table that the settings name is missing; cheap, reads no file.

    Raises
    ------
    StudyError
        With what was looked for.
    """
    obstacle = _obstacle(study)
    if obstacle:
        raise StudyError(
            f"study folder {study} is expected to be a folder, but {obstacle}; set cohort.dataset.folder to the folder "
            f"of the data set {dataset.name!r}"
        )
    for name in dataset.every_table():
        try:
            exists = stat.S_ISREG((study / name).stat().st_mode)
        except (OSError, ValueError) as error:
            raise StudyError(
                f"case table {study / name}: {cannot_open(study / name, error).detail}; "
                "check cohort.dataset.tables and cohort.dataset.options"
            ) from error
        if not exists:
            raise StudyError(
                f"case table {study / name} is no file; check cohort.dataset.tables and cohort.dataset.options"
            )


def refuse_same_folders(datasets: Sequence[DatasetSettings], folders: Sequence[Path]) -> None:
    """Stop if two studies are in one folder, however its path is written.

    Raises
    ------
    StudyError
        Naming the first two.
    """
    for (one, folder), (other, again) in combinations(zip(datasets, folders, strict=True), 2):
        if is_same(folder, again):
            raise StudyError(
                f"the data sets {one.name!r} and {other.name!r} have one folder, {folder} and {again}; expected a "
                "folder of its own for each: patients of one study are one data set, with all its tables"
            )


def _obstacle(study: Path) -> str:
    """Return why a path cannot be a study folder, or ""."""
    try:
        next(os.scandir(study), None)
    except NotADirectoryError:
        return "it is a file"
    except FileNotFoundError:
        return "it is a link to nothing" if study.is_symlink() else "there is nothing at that path"
    except (OSError, ValueError) as error:
        return cannot_open(study, error, "it").detail
    return ""
