"""Which series of CBIS-DDSM are wanted, and where each lies.

The case tables are the measure: they name each series, and the folder in which the reader looks for it. The index of
the Imaging Data Commons says where a series lies. Its patient ids are no guide: those of 396 series of the
calcification test set are file names (`P_00038_LEFT_CC.dcm`) and not the folders of the tables. All 6,775 series of the
four tables are in the index, each once and with the study that the tables give (counted with version 25 of the index).
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.cohort.case_tables import read_case_tables
from mammoflow.config.download import DownloadSettings
from mammoflow.errors import ConfigError, StudyError

COLLECTION = "cbis_ddsm"
INDEX_COLUMNS = [
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "aws_bucket",
    "crdc_series_uuid",
    "instanceCount",
    "series_size_MB",
]
PATH_COLUMNS = ["image_file_path", "cropped_image_file_path", "roi_mask_file_path"]
TABLE_NAMES = {"mass": "mass", "calcification": "calc"}

_FOLDER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UID = re.compile(r"[0-9.]{1,64}")
_NAME_IN_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,100}")


@dataclass(frozen=True)
class Series:
    """One series: its place in the study folder, and in a bucket.

    Attributes
    ----------
    folder
        Folder of the film or lesion, as the case tables name it.
    patient_id, study_uid, series_uid
        As the case tables have them.
    bucket, prefix
        Where its files lie.
    files
        How many there are.
    size
        Bytes of them all, as the index has it, rounded.
    """

    folder: str
    patient_id: str
    study_uid: str
    series_uid: str
    bucket: str
    prefix: str
    files: int
    size: int


def case_table_name(kind: str, split: str) -> str:
    """Return the name of the case table of a type (mass, calcification) and an official split (train, test)."""
    return f"{TABLE_NAMES[kind]}_case_description_{split}_set.csv"


def wanted_tables(settings: DownloadSettings) -> list[str]:
    """Return the names of the case tables that the settings ask for."""
    return [case_table_name(kind, split) for kind in settings.types for split in settings.splits]


def wanted_series(settings: DownloadSettings, study: Path, index: Path) -> list[Series]:
    """Choose series by the case tables in the study folder and find them in the index.

    Raises
    ------
    ConfigError
        If a patient of the settings is in none of the tables.
    StudyError
        If a table cannot be read, or the index lacks series that the tables name.
    """
    named_series = _named_series(read_case_tables(study, wanted_tables(settings)))
    named_series = named_series[named_series["patient_id"].isin(_wanted_patients(settings, named_series))]
    indexed_series = named_series.merge(
        read_index(index), left_on="series_uid", right_on="SeriesInstanceUID", how="left"
    )
    absent = indexed_series.loc[indexed_series["SeriesInstanceUID"].isna(), "series_uid"]
    if len(absent):
        raise StudyError(
            f"{len(absent)} of {len(indexed_series)} series of the case tables are not in the index {index}, such as "
            f"{absent.iloc[0]}; expected an index of the Imaging Data Commons with the collection {COLLECTION}; name a "
            "newer one under download.index"
        )
    return [_series(row) for row in indexed_series.to_dict("records")]


def packaged_index() -> Path:
    """Return the index that the package idc-index-data brings.

    Raises
    ------
    ConfigError
        If the package is not installed.
    """
    try:
        import idc_index_data
    except ImportError as error:
        raise ConfigError(
            "the package idc-index-data is not installed, which says where the series lie; install it with "
            "`pip install 'mammoflow[download]'`, or name an index of the Imaging Data Commons (Parquet) under "
            "download.index"
        ) from error
    return Path(idc_index_data.IDC_INDEX_PARQUET_FILEPATH)


def read_index(path: Path) -> pd.DataFrame:
    """Read what the index says of the collection; one row per series.

    Raises
    ------
    StudyError
        If the file is no such index.
    """
    try:
        return pd.read_parquet(path, columns=INDEX_COLUMNS, filters=[("collection_id", "==", COLLECTION)])
    except (OSError, ValueError, KeyError) as error:
        raise StudyError(
            f"{path} cannot be read as an index of the Imaging Data Commons: {error}; expected a Parquet file with the "
            f"columns collection_id, {', '.join(INDEX_COLUMNS)}"
        ) from error


def _named_series(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the series that case tables name, each once: folder, study_uid, series_uid, patient_id."""
    columns = []
    for column in PATH_COLUMNS:
        split = rows[column].str.split("/", expand=True).reindex(columns=range(3)).fillna("")
        split.columns = pd.Index(["folder", "study_uid", "series_uid"])
        columns.append(split.assign(patient_id=rows["patient_id"]))
    series = pd.concat(columns, ignore_index=True).drop_duplicates("series_uid")
    series = series[series["series_uid"] != ""]
    patterns = {"folder": _FOLDER, "study_uid": _UID, "series_uid": _UID}
    for column, pattern in patterns.items():
        odd = [value for value in series[column] if not pattern.fullmatch(value) or set(value) == {"."}]
        if odd:
            raise StudyError(
                f"the case tables name {odd[0]!r} as {column} of a file, expected paths such as "
                "Mass-Training_P_00001_LEFT_CC/<study UID>/<series UID>/000000.dcm; take the tables as published"
            )
    return series.sort_values(["patient_id", "folder", "series_uid"], ignore_index=True)


def _wanted_patients(settings: DownloadSettings, series: pd.DataFrame) -> list[str]:
    patients = sorted(set(series["patient_id"]))
    unknown = sorted(set(settings.patients) - set(patients))
    if unknown:
        raise ConfigError(
            f"download.patients names {', '.join(unknown[:5])}, which the case tables "
            f"{', '.join(wanted_tables(settings))} do not have; correct the ids, or widen download.types and splits"
        )
    return (sorted(set(settings.patients)) or patients)[: settings.at_most]


def _series(row: dict[Hashable, Any]) -> Series:
    bucket, prefix = str(row["aws_bucket"]), str(row["crdc_series_uuid"])
    if not (_NAME_IN_BUCKET.fullmatch(bucket) and _NAME_IN_BUCKET.fullmatch(prefix)):
        raise StudyError(
            f"the index gives {bucket!r} and {prefix!r} for a series, expected a bucket and a folder in it"
        )
    return Series(
        folder=row["folder"],
        patient_id=row["patient_id"],
        study_uid=row["study_uid"],
        series_uid=row["series_uid"],
        bucket=bucket,
        prefix=prefix,
        files=int(row["instanceCount"]),
        size=round(float(row["series_size_MB"]) * 1e6),
    )
