"""The download: case tables first, then every series that they name, each file checked and none half written."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path

from mammoflow.cohort.download.bucket import BucketFile, list_files
from mammoflow.cohort.download.case_tables import fetch_case_tables
from mammoflow.cohort.download.manifest import FileRow, Manifest
from mammoflow.cohort.download.series import Series, packaged_index, wanted_series, wanted_tables
from mammoflow.config.download import DownloadSettings
from mammoflow.errors import ConfigError, DownloadError
from mammoflow.run.runtime import progress
from mammoflow.storage.files import read_json, write_text
from mammoflow.transfer.checksums import can_be_checked
from mammoflow.transfer.connection import Transfer
from mammoflow.transfer.download import DiskFullError, download

BELOW = "CBIS-DDSM"
RECORD = "download.json"
"""Folder of the films' and lesions' folders inside the study folder."""

CITATION = (
    "CBIS-DDSM: Sawyer-Lee et al., The Cancer Imaging Archive, doi 10.7937/K9/TCIA.2016.7O02S9CY, CC BY 3.0; files by "
    "way of the NCI Imaging Data Commons"
)
FAILURES_IN_A_ROW = 3
"""Series for each connection that fail one after the other before all is given up."""


def download_study(
    settings: DownloadSettings,
    study: Path,
    verify: bool = False,
    dry_run: bool = False,
    transfer: Transfer | None = None,
) -> None:
    """Bring CBIS-DDSM, or the part that the settings ask for, to a folder that the reader `cbis-ddsm` takes.

    What is there is kept; a run that was broken off or killed is continued. Each file is held to the checksum that the
    bucket gives, or to its size where it gives none; `download.parquet` says which. Films, masks and crops lie under
    the folder, study and series that the case tables name.

    Parameters
    ----------
    settings
        Which part, from where, and how many connections.
    study
        The study folder.
    verify
        Read again every file that is there and hold it to its checksum; what is damaged is fetched again.
    dry_run
        Fetch the case tables alone, and say how much the rest is.
    transfer
        How stubbornly to try; taken from the settings unless given.

    Raises
    ------
    ConfigError
        If there is no index, a patient is not known, or another file has the name of the record.
    DiskFullError
        If the disk has no room for what is left.
    DownloadError
        If files could not be fetched; the manifest says which and why, and the same call continues.
    StudyError
        If tables, index or manifest cannot be read.
    """
    transfer = transfer or Transfer(attempts=settings.attempts, timeout_s=settings.timeout_s)
    _check_record(study / RECORD)
    fetch_case_tables(wanted_tables(settings), settings.tables, study, transfer)
    index = Path(settings.index) if settings.index else packaged_index()
    wanted = wanted_series(settings, study, index)
    manifest = Manifest(study)
    left = wanted if verify else [series for series in wanted if not _is_whole(series, manifest, study)]
    _say(wanted, left)
    if dry_run:
        return
    if not verify:
        _check_room(left, study)
    try:
        failed = _fetch_all(left, _Fetcher(settings, study, manifest, transfer), settings.connections)
    finally:
        manifest.save()
    _record(study / RECORD, settings, wanted)
    if failed:
        raise DownloadError(
            f"{len(failed)} of {len(wanted)} series are not whole, such as {failed[0].folder}: "
            f"{_why(failed, manifest)}; {manifest.path} has them all; run the same command again to continue"
        )


def _say(wanted: Sequence[Series], left: Sequence[Series]) -> None:
    patients = len({series.patient_id for series in wanted})
    size = sum(series.size for series in left) / 1e9
    print(
        f"{len(wanted)} series of {patients} patients; {len(left)} to look after, {size:.1f} GB\n{CITATION}",
        file=sys.stderr,
        flush=True,
    )


def _is_whole(series: Series, manifest: Manifest, study: Path) -> bool:
    rows = manifest.rows(series)
    return len(rows) >= series.files and all(
        row.state == "whole" and _size(study / row.path) == row.bytes for row in rows
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _check_room(left: Sequence[Series], study: Path) -> None:
    """Refuse to begin what the disk cannot hold."""
    there = sum(
        file.stat().st_size for series in left for file in _folder(study, series).glob("*.dcm*") if file.is_file()
    )
    needed = sum(series.size for series in left) - there
    free = shutil.disk_usage(study).free
    if needed > free:
        raise DiskFullError(
            f"{needed / 1e9:.1f} GB are to be fetched to {study}, and {free / 1e9:.1f} GB are free; make room, or "
            "fetch a part (download.types, splits, patients, at_most)"
        )


def _folder(study: Path, series: Series) -> Path:
    return study / BELOW / series.folder / series.study_uid / series.series_uid


class _Fetcher:
    """Fetches one series; called from several threads."""

    def __init__(self, settings: DownloadSettings, study: Path, manifest: Manifest, transfer: Transfer) -> None:
        self.bucket = settings.bucket
        self.study = study
        self.manifest = manifest
        self.transfer = transfer

    def fetch(self, series: Series) -> bool:
        """Fetch what a series lacks, put its rows into the manifest, and tell whether it is whole."""
        try:
            files = self._files(series)
        except DownloadError as error:
            self.manifest.put(series, [_row(series, "", None, "failed", "", str(error))])
            return False
        rows = [self._fetch_file(series, file) for file in files]
        self.manifest.put(series, rows)
        return all(row.state == "whole" for row in rows)

    def _files(self, series: Series) -> list[BucketFile]:
        """Return the files of a series, from the manifest where it has them all."""
        recorded = [row for row in self.manifest.rows(series) if row.path]
        if len(recorded) >= series.files:
            return [BucketFile(Path(row.path).name, row.url, row.bytes, row.checksum) for row in recorded]
        listed = list_files(self.bucket.format(bucket=series.bucket), series.prefix, self.transfer)
        if len(listed) < series.files:
            raise DownloadError(f"the bucket lists {len(listed)} files of {series.prefix}, expected {series.files}")
        return listed

    def _fetch_file(self, series: Series, file: BucketFile) -> FileRow:
        path = _folder(self.study, series) / file.name
        relative = path.relative_to(self.study).as_posix()
        checksum = file.checksum if can_be_checked(file.checksum, file.size) else ""
        try:
            download(file.url, path, checksum, file.size, self.transfer)
        except DiskFullError:
            raise
        except DownloadError as error:
            return _row(series, relative, file, "failed", "", str(error))
        return _row(series, relative, file, "whole", "checksum" if checksum else "size", "")


def _row(series: Series, path: str, file: BucketFile | None, state: str, checked: str, detail: str) -> FileRow:
    url, size, checksum = (file.url, file.size, file.checksum) if file else ("", 0, "")
    names = (series.folder, series.patient_id, series.study_uid, series.series_uid)
    return FileRow(*names, path, url, size, checksum, state, checked, detail)


def _fetch_all(left: Sequence[Series], fetcher: _Fetcher, connections: int) -> list[Series]:
    """Fetch series, a bounded number at a time; return those that are not whole.

    Where one after the other fails, or the disk is full, the rest is not tried.
    """
    failed: list[Series] = []
    in_a_row = 0
    workers = ThreadPoolExecutor(max_workers=connections, thread_name_prefix="download")
    try:
        jobs: dict[Future[bool], Series] = {workers.submit(fetcher.fetch, series): series for series in left}
        for job in progress(as_completed(jobs), "download (series)", len(jobs)):
            whole = job.result()
            in_a_row = 0 if whole else in_a_row + 1
            if not whole:
                failed.append(jobs[job])
            if in_a_row >= FAILURES_IN_A_ROW * connections:
                raise DownloadError(
                    f"the last {in_a_row} series all failed, so the rest was not tried: "
                    f"{_why(failed[-1:], fetcher.manifest)}; see {fetcher.manifest.path}, and run again to continue"
                )
    finally:
        workers.shutdown(wait=True, cancel_futures=True)
    return failed


def _why(failed: Sequence[Series], manifest: Manifest) -> str:
    return next((row.detail for series in failed for row in manifest.rows(series) if row.detail), "unknown")


def _check_record(path: Path) -> None:
    """Refuse to replace a file of the record's name that is no record of a download."""
    if path.is_file() and "citation" not in read_json(path):
        raise ConfigError(
            f"--output: found {path}, which is no record of a download; expected a folder without a file of this name; "
            "nothing was changed: move it away, or name another folder"
        )


def _record(path: Path, settings: DownloadSettings, wanted: Sequence[Series]) -> None:
    """Write what was asked for and where it came from, beside the study."""
    record = {
        "citation": CITATION,
        "index": settings.index or f"idc-index-data {version('idc-index-data')}",
        "patients": len({series.patient_id for series in wanted}),
        "series": len(wanted),
        "settings": settings.model_dump(mode="json"),
    }
    write_text(path, json.dumps(record, indent=2) + "\n")
