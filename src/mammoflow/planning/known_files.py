"""The files of the studies as the run last saw them: tells which of them have another content now.

Each file has a mark, which stays the same as long as its content does. The mark of a small file is the digest of its
content. The mark of a large one is its size and times when it was first seen, so that no film is read before a run
begins. Where size or times differ later, the content decides: it is compared with the digest that the job recorded
which has read the file.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from mammoflow.storage.file_states import READ_FILES, FileState, ReadFile, read_read_files
from mammoflow.storage.files import file_digest, write_text

FILE_NAME = "files.json"
LARGEST_SMALL_FILE = 2**20
ABSENT = "absent"
"""Mark of a file that does not exist or cannot be read."""

# A file that was written this short time before it was looked at may change again without a new time.
YOUNG_S = 2.0
UNKNOWN_TIME = -1
ANNOUNCED_BYTES = 2**30

Entry: TypeAlias = Sequence[Any]
"""A file as `files.json` has it: size, both times, digest and mark."""
ENTRY = [int, int, int, str, str]


class KnownFile(NamedTuple):
    """What is known of a file: its state, the digest of its content or "", and its mark."""

    state: FileState
    digest: str
    mark: str


class KnownFiles:
    """The files that a run depends on, by study and path.

    Parameters
    ----------
    run
        Folder of the run; its `files.json` is read and written.
    by_content
        Whether every file is read, for file systems whose times tell nothing.
    """

    def __init__(self, run: Path, by_content: bool = False) -> None:
        self.run = run
        self.by_content = by_content
        self.read_bytes = 0
        self._files = _read(run / FILE_NAME)
        self._changed = False

    def mark(self, study: str, name: str, path: str | Path, small: bool = False) -> str:
        """Return the mark of a file.

        Parameters
        ----------
        study, name
            Name of its study and its path there, by which it is known; a study may be moved.
        path
            Where it is now.
        small
            Whether the content counts whatever the size of the file.
        """
        key = f"{study}\n{name}"
        try:
            # a study may have millions of files, and paths as objects take longer
            state = FileState.of(os.stat(path))  # noqa: PTH116
            known = self._files.get(key)
            if known is not None and not self.by_content and state == tuple(known[:3]):
                return str(known[4])
            return self._mark(key, state, Path(path), small)
        except OSError:
            return ABSENT

    def save(self) -> None:
        """Write what is known now, where it differs from what was known before."""
        if self._changed:
            write_text(self.run / FILE_NAME, json.dumps(dict(sorted(self._files.items()))) + "\n")
            self._changed = False

    def _mark(self, name: str, state: FileState, path: Path, small: bool) -> str:
        entry = self._files.get(name)
        known = None if entry is None else KnownFile(FileState(*entry[:3]), *entry[3:])
        unchanged = known is not None and known.state == state
        before = "" if known is None else known.digest or self._digest_of_job(name, known.state)
        small = small or state.size <= LARGEST_SMALL_FILE
        could_be_same = bool(before) and known is not None and known.state.size == state.size
        digest = self._digest(path, state.size) if small or could_be_same or self.by_content else ""
        if known is not None and ((digest and digest == before) or (unchanged and not before)):
            mark = known.mark
        else:
            mark = digest if small or self.by_content else ":".join(map(str, state))
        is_young = time.time() - max(state.modified_ns, state.changed_ns) / 1e9 < YOUNG_S
        now = KnownFile(state._replace(changed_ns=UNKNOWN_TIME) if is_young else state, digest, mark)
        if known != now:
            self._files[name] = (*now.state, now.digest, now.mark)
            self._changed = True
        return mark

    def _digest(self, path: Path, size: int) -> str:
        if self.read_bytes < ANNOUNCED_BYTES <= self.read_bytes + size:
            print("reading the study's files, to compare their content", file=sys.stderr, flush=True)
        self.read_bytes += size
        return file_digest(path)

    @cached_property
    def _of_jobs(self) -> dict[str, ReadFile]:
        """The files that the jobs of the image stage have read, by study and path."""
        records = [read_read_files(path) for path in sorted(self.run.glob(f"images/*/{READ_FILES}"))]
        return {
            f"{study}\n{name}": file
            for record in records
            for study, files in record.items()
            for name, file in files.items()
        }

    def _digest_of_job(self, name: str, state: FileState) -> str:
        """Return the digest of a file that a job has read in this state; "" where none has."""
        file = self._of_jobs.get(name)
        if file is None:
            return ""
        same = file.state == state or (state.changed_ns == UNKNOWN_TIME and file.state[:2] == state[:2])
        return file.digest if same else ""


def _read(path: Path) -> dict[str, Entry]:
    """Read what was known; nothing where the file is absent or damaged."""
    try:
        content: dict[str, Entry] = json.loads(path.read_text(encoding="utf-8"))
        sound = all(list(map(type, entry)) == ENTRY for entry in content.values())
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
    return content if sound else {}


def study_files(folder: Path) -> list[str]:
    """Return the paths of all files below a study folder, relative to it and sorted; links are followed.

    A folder that cannot be listed counts as a file, and so does a link that leads nowhere.
    """
    files: list[str] = []
    waiting, seen = [""], set[tuple[int, int]]()
    while waiting:
        relative = waiting.pop()
        try:
            entries = list(os.scandir(folder / relative))
        except OSError:
            files.append(relative)
            continue
        for entry in entries:
            path = f"{relative}/{entry.name}".lstrip("/")
            try:
                status = entry.stat() if entry.is_dir() else None
            except OSError:
                status = None
            if status is None:
                files.append(path)
            elif (status.st_dev, status.st_ino) not in seen:  # a link may lead back to a folder above it
                seen.add((status.st_dev, status.st_ino))
                waiting.append(path)
    return sorted(files)
