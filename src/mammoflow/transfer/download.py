"""Downloads over HTTP: a broken connection is resumed, and a file gets its name only when it is whole and checked."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import http.client
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from io import FileIO
from pathlib import Path
from typing import Any

from mammoflow.errors import DownloadError
from mammoflow.run.runtime import progress
from mammoflow.transfer.checksums import checksum_of, matches_checksum
from mammoflow.transfer.connection import BrokenConnectionError, Transfer, check_address, open_address, pause

CHUNK = 1 << 20


class DiskFullError(DownloadError):
    """The disk has no room for the file, so a further attempt or another file cannot succeed."""


def download(
    url: str,
    path: Path,
    checksum: str,
    size: int | None = None,
    transfer: Transfer | None = None,
    label: str | None = None,
) -> None:
    """Download a file to `path`, unless the same file is already there.

    The bytes go to `<name>.part` in the same folder. A later connection or a later call continues that file. Only a
    whole file with the right size and checksum gets the name. Two processes that want the same file wait for each
    other.

    Parameters
    ----------
    url
        Address, http or https.
    path
        Where to write the file.
    checksum
        In the form of `mammoflow.transfer.checksums`. Empty where none is known: then a file at `path` of the right
        size counts as the same file, and an unfinished file of an earlier call is fetched again.
    size
        Bytes of the file, where they are known.
    transfer
        How often and how long to try.
    label
        Name of the file in the progress lines; None shows no progress.

    Raises
    ------
    DiskFullError
        If the disk has no room for the file.
    DownloadError
        If the address cannot be read, the connection keeps breaking, or the file has another size or checksum. A wrong
        file is removed.
    """
    transfer = transfer or Transfer()
    check_address(url)
    if _is_there(path, checksum, size):
        return
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _part_file(part) as file:
            if _is_there(path, checksum, size):  # another process finished it while this one waited
                part.unlink()
                return
            _bring(_Download(url, part, file, checksum, size, transfer, label))
            os.fsync(file.fileno())
            part.replace(path)
    except OSError as error:
        raise DownloadError(f"cannot write {part}: {error}; make the folder writable, or name another") from error


def _is_there(path: Path, checksum: str, size: int | None) -> bool:
    if not path.is_file() or (size is not None and path.stat().st_size != size):
        return False
    return matches_checksum(path, checksum) if checksum else size is not None


@contextlib.contextmanager
def _part_file(part: Path) -> Iterator[FileIO]:
    """Open the unfinished file for this process alone; wait where another one writes it."""
    while True:
        with part.open("a+b", buffering=0) as file:
            # Some network file systems have no locks; there two processes may write at the same time.
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            try:
                same = os.fstat(file.fileno()).st_ino == part.stat().st_ino
            except FileNotFoundError:
                same = False
            if same:
                yield file
                return


@dataclass
class _Download:
    """A file that is being downloaded."""

    url: str
    part: Path
    file: FileIO
    checksum: str
    size: int | None
    transfer: Transfer
    label: str | None
    entity: str = ""  # the server's ETag of this version of the file

    def here(self) -> int:
        """Return how many bytes were received."""
        return self.file.seek(0, os.SEEK_END)

    def start_anew(self) -> None:
        """Drop the bytes that were received."""
        self.file.truncate(0)


def _bring(job: _Download) -> None:
    """Fetch and check. A wrong file that came over several connections is fetched once more."""
    if not job.checksum:
        job.start_anew()  # without a checksum, nothing proves that both parts belong to the same file
    while True:
        start = job.here()
        _fetch(job)
        problem = _wrong(job)
        if not problem:
            return
        job.start_anew()
        if start == 0:
            job.part.unlink()
            raise DownloadError(
                f"{job.url} gave a file of {problem}; it was removed; fetch it again, or from another place"
            )


def _wrong(job: _Download) -> str:
    """Say what is wrong with the whole file, or return ""."""
    if job.size is not None and job.here() != job.size:
        return f"{job.here()} bytes, expected {job.size}"
    if not job.checksum or (received := checksum_of(job.part, job.checksum)) == job.checksum:
        return ""
    return f"checksum {received}, expected {job.checksum}"


def _fetch(job: _Download) -> None:
    """Connect again and again until the whole file is there."""
    failures = 0
    while True:
        start = job.here()
        if job.size is not None and start == job.size and start:
            return
        if job.size is not None and start > job.size:
            job.start_anew()
        try:
            _continue(job)
            return
        except (OSError, http.client.HTTPException, ValueError, BrokenConnectionError) as error:
            failures = 1 if job.here() - start >= CHUNK else failures + 1
            if failures >= job.transfer.attempts:
                raise DownloadError(
                    f"could not fetch {job.url}: {error}; {job.here()} bytes are kept in {job.part}; run the same "
                    "command again to continue"
                ) from error
            pause(failures, error, job.transfer)


def _continue(job: _Download) -> None:
    """Continue after the last byte that was received; start again where the server cannot do so."""
    start = job.here()
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and job.entity:
        headers["If-Range"] = job.entity
    with open_address(job.url, headers, job.transfer) as response:
        if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # there are no further bytes; the check decides whether the file is right
        if start and response.status != HTTPStatus.PARTIAL_CONTENT:
            job.start_anew()
            start = 0
        elif start and not re.match(rf"bytes {start}-", response.headers.get("Content-Range", f"bytes {start}-")):
            job.start_anew()
            raise BrokenConnectionError(
                f"the server sent {response.headers['Content-Range']}, expected it to continue from byte {start}"
            )
        job.entity = response.headers.get("ETag", "")
        job.entity = "" if job.entity.startswith("W/") else job.entity
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        if total is not None and job.size is not None and total != job.size:
            raise BrokenConnectionError(f"the server offers {total} bytes, expected {job.size}")
        _check_room(job.part, (total or job.size or start) - start)
        _copy(job, response, start, total)


def _copy(job: _Download, response: Any, start: int, total: int | None) -> None:
    """Append the bytes to the unfinished file as they arrive, so that a connection that stalls loses nothing."""
    steps = _steps(job, response, start, total)
    if job.label:
        steps = progress(steps, f"{job.label} (MiB)", -(-(total - start) // CHUNK) if total else None)
    for _ in steps:
        pass
    if total is not None and job.here() < total:
        raise BrokenConnectionError(f"connection broke after {job.here()} of {total} bytes")


def _steps(job: _Download, response: Any, start: int, total: int | None) -> Iterator[None]:
    """Read and write; yield once for each `CHUNK` bytes."""
    written = start
    while chunk := response.read1(CHUNK):
        written += len(chunk)
        if job.size is not None and written > job.size:
            job.start_anew()
            raise BrokenConnectionError(f"the server sent more than the {job.size} bytes that were expected")
        try:
            _write(job.file, chunk)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _no_room(job.part, total or job.size) from error
            raise DownloadError(f"cannot write {job.part}: {error}") from error
        yield from [None] * ((written - start) // CHUNK - (written - len(chunk) - start) // CHUNK)


def _write(file: FileIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]


def _check_room(part: Path, needed: int) -> None:
    if needed > shutil.disk_usage(part.parent).free:
        raise _no_room(part, needed)


def _no_room(part: Path, needed: int | None) -> DiskFullError:
    free = shutil.disk_usage(part.parent).free
    need = f"{needed} bytes are needed for {part.name}, " if needed else ""
    return DiskFullError(f"the disk of {part.parent} is full: {need}{free} are free; make room and run again")
