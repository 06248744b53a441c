"""Which results of a run were lost since they were last complete, so that what was made of them is made again.

Snakemake removes the results of a job that fails or is interrupted. Where the results of later jobs are there from an
earlier run, it takes these for up to date and does not run the job again. So each rule has as a parameter how often the
files that it reads were lost. The number grows when a start of Snakemake finds that a file is gone that was complete
before, and it stays after the file was made again.

It grows as well when a file has an earlier time than before: the clock was set back before the file was made again, or
an older copy was put in its place. Snakemake compares times, and would take what was made of the file for newer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mammoflow.storage.files import write_text

FILE_NAME = "made.json"

WRITTEN_TOGETHER = {
    "images.parquet": ("lesions.parquet", "excluded.parquet", "files.json"),
    "masks.parquet": ("scores.parquet", "weights.json"),
}
"""Further results of the job that writes a table. Jobs read them as well, although only the table is named."""


class State(NamedTuple):
    """What is known of a result.

    Attributes
    ----------
    times
        How often it was lost.
    complete
        Whether it was there when it was last looked at.
    modified_ns
        When it was written, as its file system says; 0 where it was not there.
    """

    times: int = 0
    complete: bool = False
    modified_ns: int = 0


class Made:
    """How often each result of a run was lost, and whether it was complete when it was last looked at.

    Parameters
    ----------
    run
        Folder of the run; its `made.json` is read and written.
    remember
        Whether it is written; a dry run writes nothing.
    """

    def __init__(self, run: Path, remember: bool = True) -> None:
        self.run, self.remember = run, remember
        self._files = _read(run / FILE_NAME)

    def losses(self, files: Iterable[str | Path]) -> str:
        """Return which of some results were lost, and how often; "" where none was.

        Files outside the run do not count.

        Parameters
        ----------
        files
            Results that a job reads. One of each job that writes them is enough, see `WRITTEN_TOGETHER`.
        """
        changed, lost = False, {}
        for file in dict.fromkeys(one for path in map(Path, files) for one in _written_with(path)):
            if not file.is_relative_to(self.run):
                continue
            name = file.relative_to(self.run).as_posix()
            before = self._files.get(name, State())
            now = _state(file, before)
            if now != before:
                self._files[name] = now
                changed = True
            if now.times:
                lost[name] = now.times
        if changed and self.remember:
            write_text(self.run / FILE_NAME, json.dumps(self._files, indent=0, sort_keys=True) + "\n")
        return ", ".join(f"{name}: {times}" for name, times in sorted(lost.items()))


def _written_with(file: Path) -> list[Path]:
    """Return a result and the other results of the same job."""
    return [file, *(file.with_name(name) for name in WRITTEN_TOGETHER.get(file.name, ()))]


def _state(file: Path, before: State) -> State:
    """Look at a result; it was lost where it is gone, or is older than it was."""
    try:
        modified_ns = file.stat().st_mtime_ns
    except OSError:
        return State(before.times + before.complete, False, 0)
    return State(before.times + (modified_ns < before.modified_ns), True, modified_ns)


def _read(path: Path) -> dict[str, State]:
    """Read the state; nothing where the file is absent or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: State(int(times), bool(complete), *map(int, more))
            for name, (times, complete, *more) in content.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
