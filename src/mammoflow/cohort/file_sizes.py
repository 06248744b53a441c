"""The size of an image's file, against the table and against further files of the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mammoflow.cohort.reader import Row
from mammoflow.cohort.table_files import ORIGIN
from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.dicom_header import image_shape
from mammoflow.formats.study_paths import safe_path
from mammoflow.reasons.cohort import CohortReason


def refuse_other_size(rows: Sequence[Row], shape: tuple[int, int]) -> None:
    """Refuse an image whose file has another size than the table says.

    Parameters
    ----------
    rows
        Rows of the image, with `image_height` and `image_width`.
    shape
        Rows and columns of the file.

    Raises
    ------
    ExcludedCase
        CONTRADICTION.
    """
    for row in rows:
        for key, found in zip(("image_height", "image_width"), shape, strict=True):
            if row[key] is not None and int(row[key]) != found:
                detail = f"{row[ORIGIN]}: {key} is {int(row[key])}, the file has {shape[0]} x {shape[1]} pixels"
                raise ExcludedCase(CohortReason.CONTRADICTION, detail)


def refuse_unequal_files(study: Path, names: Sequence[str], chosen: str, shape: tuple[int, int]) -> None:
    """Refuse an image whose files, as the table names them, differ in size: a box is of one of them.

    Parameters
    ----------
    study
        The study folder.
    names
        The files that the table names, relative to it.
    chosen
        The one that is taken.
    shape
        Its rows and columns.

    Raises
    ------
    ExcludedCase
        CONTRADICTION.
    """
    for other in names if len(names) > 1 else []:
        try:
            found = image_shape(open_dicom(safe_path(study, other)))
        except ExcludedCase:
            continue  # its own exclusion says why
        if found != shape:
            raise ExcludedCase(
                CohortReason.CONTRADICTION,
                f"files of one image differ in size: {chosen} has {shape[0]} x {shape[1]} pixels, {other} has "
                f"{found[0]} x {found[1]}",
            )
