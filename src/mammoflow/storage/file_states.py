"""What tells that a file of a study is still the same: its size, its times, and a digest of its content."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mammoflow.storage.files import file_digest, write_text

READ_FILES = "files.json"
"""Name of the file in which a stage says which files of the studies it has read."""


class FileState(NamedTuple):
    """Size and times of a file.

    Attributes
    ----------
    size
        In bytes.
    modified_ns
        When its content was last written, in nanoseconds. A copy may carry any such time.
    changed_ns
        When content, name or permissions were last changed. No program can set this time.
    """

    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileState:
        """Return the state that a call of `stat` found."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class ReadFile(NamedTuple):
    """A file as a job has read it: its state before, and the SHA-256 of its content."""

    state: FileState
    digest: str


def read_file_record(path: Path) -> ReadFile | None:
    """Read a file for its record; None where it cannot be read. Call it before the file is decoded.

    So a file that is replaced in the meantime never has the digest of an older content than the one that is decoded.
    """
    try:
        state = FileState.of(path.stat())
        return ReadFile(state, file_digest(path))
    except OSError:
        return None


def write_read_files(folder: Path, files: Mapping[str, Mapping[str, ReadFile]]) -> None:
    """Write which files a job has read.

    Parameters
    ----------
    folder
        Folder of the job's results.
    files
        Name of the study -> path in it -> the file as it was read.
    """
    content = {study: {path: [*file.state, file.digest] for path, file in of.items()} for study, of in files.items()}
    write_text(folder / READ_FILES, json.dumps(content, sort_keys=True) + "\n")


def read_read_files(path: Path) -> dict[str, dict[str, ReadFile]]:
    """Read what `write_read_files` wrote; an absent or damaged file says nothing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            study: {name: ReadFile(FileState(*map(int, file[:3])), str(file[3])) for name, file in files.items()}
            for study, files in content.items()
        }
    except (OSError, ValueError, AttributeError, TypeError, IndexError):
        return {}
