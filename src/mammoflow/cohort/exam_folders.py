"""Rows that name a folder in place of a file: its DICOM files, and an image for each side and view of a whole exam."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pandas as pd

from mammoflow.errors import ExcludedCase
from mammoflow.formats.file_kinds import FileKind, file_kind
from mammoflow.formats.listing import is_folder
from mammoflow.formats.opening import cannot_open
from mammoflow.formats.study_paths import safe_path, study_name
from mammoflow.reasons.files import FileReason

DICOM_SUFFIXES = (".dcm", ".dicom", "")


def films_of_exams(table: pd.DataFrame, study: Path) -> list[tuple[str, ...]]:
    """Return what each row adds to the id of its image: side and view where rows of one folder state several.

    The reader then takes the file whose header has that side and view. Rows with an id of their own, of a file, or of a
    folder for which they state one side and view, add nothing.

    Parameters
    ----------
    table
        Rows with `image_name`, `laterality`, `view` and `has_image_id`.
    study
        The study folder.
    """
    derived = table[~table["has_image_id"].astype(bool)]
    films = derived[["image_name", "laterality", "view"]].drop_duplicates()
    several = films[films["image_name"].duplicated(keep=False)]
    stated = (several["laterality"] != "") & (several["view"] != "")
    names = set(several["image_name"]) - set(several.loc[~stated, "image_name"])
    exams = {name for name in names if is_folder(study / str(name))}
    rows = zip(table["image_name"], table["laterality"], table["view"], table["has_image_id"], strict=True)
    return [(str(side), str(view)) if name in exams and not own else () for name, side, view, own in rows]


def is_exam(rows: pd.DataFrame, study: Path) -> bool:
    """Tell whether rows of one `image_name` are a folder's films of one patient, one id for each side and view."""
    films = rows[["image_id", "laterality", "view"]].drop_duplicates()
    one_each = films["image_id"].is_unique and not films[["laterality", "view"]].duplicated().any()
    return one_each and rows["patient_id"].nunique() == 1 and is_folder(study / str(rows["image_name"].iloc[0]))


def files_of(study: Path, name: str) -> list[str]:
    """Return the DICOM files of a folder that the table names in place of a file; the name itself where it is none.

    Raises
    ------
    ExcludedCase
        OUTSIDE_STUDY where the path leaves the study folder; MISSING_FILE where the folder holds no DICOM file;
        NO_ACCESS where it may not be listed.
    """
    place = study / study_name(study, name)
    try:
        if not place.is_dir():
            return [name]
        inside = sorted(place.iterdir())
        files = [path.name for path in inside if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise cannot_open(place, error, repr(name)) from error
    dicom_files = [str(PurePosixPath(name, file)) for file in files if may_be_dicom(study, f"{name}/{file}")]
    if not dicom_files:
        found = ", ".join(path.name for path in inside[:5]) or "nothing"
        raise ExcludedCase(
            FileReason.MISSING_FILE, f"the folder {name!r} holds no DICOM file but {found}; name the file in the table"
        )
    return dicom_files


def may_be_dicom(study: Path, name: str) -> bool:
    """Tell by the name, or otherwise by the content, whether a path is a DICOM file or a folder."""
    if suffix_of(name).lower() in DICOM_SUFFIXES:
        return True
    try:
        return file_kind(safe_path(study, name)) is FileKind.DICOM
    except ExcludedCase:
        return False


def suffix_of(name: str) -> str:
    """Return a name's suffix; the last number of a UID, as archives name files without a suffix, is none."""
    suffix = PurePosixPath(name).suffix
    return "" if suffix[1:].isdecimal() else suffix
