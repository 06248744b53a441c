"""What has been fetched: one row per file, kept beside the study, so that a later call knows what is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from mammoflow.cohort.download.series import Series
from mammoflow.errors import StudyError
from mammoflow.tables.files import read_table, write_table

NAME = "download.parquet"
SAVE_EVERY_S = 10.0

MANIFEST = pa.DataFrameSchema(
    {
        "folder": pa.Column("str", coerce=True),
        "patient_id": pa.Column("str", coerce=True),
        "study_uid": pa.Column("str", coerce=True),
        "series_uid": pa.Column("str", coerce=True),
        "path": pa.Column("str", coerce=True),  # relative to the study folder; "" where the series has no listing yet
        "url": pa.Column("str", coerce=True),
        "bytes": pa.Column("Int64", checks=[pa.Check.ge(0)], coerce=True),
        "checksum": pa.Column("str", coerce=True),  # as the bucket gives it; "" where it gives none
        "state": pa.Column("str", checks=[pa.Check.isin(["whole", "failed"])], coerce=True),
        "checked": pa.Column("str", checks=[pa.Check.isin(["checksum", "size", ""])], coerce=True),
        "detail": pa.Column("str", coerce=True),  # why it failed
    },
    name="download",
)


@dataclass(frozen=True)
class FileRow:
    """One row of the manifest."""

    folder: str
    patient_id: str
    study_uid: str
    series_uid: str
    path: str
    url: str
    bytes: int
    checksum: str
    state: str
    checked: str
    detail: str


class Manifest:
    """The rows of a study, by series; several threads may put theirs.

    Parameters
    ----------
    study
        The study folder.

    Raises
    ------
    StudyError
        If there is a manifest that does not fit.
    """

    def __init__(self, study: Path) -> None:
        self.path = study / NAME
        self._lock = threading.Lock()
        self._saved = time.monotonic()
        self._rows: dict[str, list[FileRow]] = {}
        if self.path.is_file():
            try:
                table = read_table(self.path, MANIFEST)
            except (StudyError, OSError, ValueError) as error:
                raise StudyError(
                    f"{self.path} cannot be read: {error}; remove it: files that are there are then checked anew"
                ) from error
            for values in table[list(MANIFEST.columns)].to_dict("records"):
                row = FileRow(**{str(name): value for name, value in values.items()})
                self._rows.setdefault(row.series_uid, []).append(row)

    def rows(self, series: Series) -> list[FileRow]:
        """Return what is known of a series."""
        return self._rows.get(series.series_uid, [])

    def put(self, series: Series, rows: Sequence[FileRow]) -> None:
        """Take over what is known of a series now; write it all now and then."""
        with self._lock:
            self._rows[series.series_uid] = list(rows)
            if time.monotonic() - self._saved >= SAVE_EVERY_S:
                self._write()

    def save(self) -> None:
        """Write the table in one step."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        rows = [asdict(row) for uid in sorted(self._rows) for row in self._rows[uid]]
        if rows:
            write_table(pd.DataFrame(rows), MANIFEST, self.path)
        self._saved = time.monotonic()
